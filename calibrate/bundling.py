"""From a checkpoint to a bundle: export it, quantize it, find the thresholds, and write all of it or nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from edge_inspect.calibrate.counts import found_defects, found_flaws
from edge_inspect.calibrate.decision import Decided, decide, fit_fp32, thresholds_of
from edge_inspect.calibrate.engines import engine_of, engines_forgotten
from edge_inspect.calibrate.export import to_onnx
from edge_inspect.calibrate.flaw_sizes import score_flaws
from edge_inspect.calibrate.golden import fp32_tolerance, golden_frames, tolerances
from edge_inspect.calibrate.int8.activations import collect
from edge_inspect.calibrate.int8.quantize import of_distances, quantizable
from edge_inspect.calibrate.int8.trials import Workbench
from edge_inspect.calibrate.manifest import draft, manifest_fields
from edge_inspect.calibrate.networks import Networks, Search, make_networks
from edge_inspect.calibrate.precisions.contest import Contest, hold_contest
from edge_inspect.calibrate.precisions.preference import EVEN
from edge_inspect.calibrate.precisions.validation import Validation, draw_validation
from edge_inspect.calibrate.precisions.verdicts import judge_defects
from edge_inspect.calibrate.report.report import describe, render
from edge_inspect.edge.bundle.bundle import Bundle, pack_golden, write_bundle
from edge_inspect.edge.bundle.manifest import GOLDEN, REPORT, complete, model_file
from edge_inspect.edge.bundle.promise import promise_of
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.errors import BundleError, CheckFailed, DataSetError, UsageError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, list_images, nothing_here, pixel_digest, read_image
from edge_inspect.edge.frame.images.folder import look_into
from edge_inspect.edge.health.picture import examine, picture_range
from edge_inspect.edge.text import clean
from edge_inspect.models.network import Network
from edge_inspect.train import checkpoint
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.copies import Copies
from edge_inspect.train.datasets import load_fitted
from edge_inspect.train.evaluation import torch_predictor
from edge_inspect.train.flaws import Flaws
from edge_inspect.train.material import normalise

COMPARED = 4
FLAWED = 16
PAGE = "report/index.html"


@dataclass(frozen=True)
class Request:
    """The settings of `calibrate bundle`.

    Attributes:
        run: Folder of the checkpoint.
        good: Folder of good images, some of which the model was not trained on.
        out: Folder of the bundle to write.
        defects: Folder of defective images, or of one folder for each kind. They are only reported on.
        false_reject_rate: Share of good parts that may be rejected; `None` takes the smallest share that can be
            estimated from the held-out good images.
        calibration_images: Most images from which the INT8 scales are taken; tiles count as images if frames are cut.
        seed: Random seed that picks these images.
        search: How much INT8 may lose on validation, and how long to search for layers to leave in float.
    """

    run: Path
    good: Path
    out: Path
    defects: Path | None = None
    false_reject_rate: float | None = None
    calibration_images: int = 64
    seed: int = 0
    search: Search = Search()


def make_bundle(request: Request, say: Callable[[str], None]) -> Bundle:
    """Make and write the bundle; `say` is called with each decision.

    Raises:
        UsageError: A setting is out of range, or `out` exists already.
        DataSetError: There are no good images, or the model has seen all of them.
        CheckpointError: The checkpoint cannot be used.
        CheckFailed: The exported model does not give the trained model's maps.
        BundleError: The bundle cannot be written.
    """
    with engines_forgotten():
        return _make_bundle(request, say)


def _make_bundle(request: Request, say: Callable[[str], None]) -> Bundle:
    _check(request)
    good = _images("--good", request.good)
    defects = _defects(request.defects) if request.defects is not None else {}
    about, model = checkpoint.load(request.run)
    copies = Copies()
    seen, unseen = _split(about, good, copies)
    frames = list(unseen.values())
    if str(copies):
        say(str(copies))
    fp32 = to_onnx(model, about.fit)
    exported = draft(about, {"fp32": fp32.SerializeToString()}, request.out)
    drift = _drift(about, model, frames, exported)
    say(f"exported; maps differ from the trained model's by {drift:.1e} at most")
    scores = _threshold_scores(about, exported, unseen, say)
    fit = fit_fp32(scores, request.false_reject_rate, say)
    pictures = _calibration_pictures(about, [*seen, *unseen], request)
    validation = draw_validation(frames, about.fit, about.foreground, fit.threshold)
    networks = _make_networks(request, about, fp32, pictures, validation, say)
    contest = hold_contest(
        _draft_of_fitted(request, about, networks.arithmetic), validation, networks.maps["fp32"], request.search.budget
    )
    _add_bf16(networks, contest, say)
    arithmetic, files = (draft(about, each, request.out) for each in (networks.arithmetic, networks.files))
    decided = decide((arithmetic, files), networks, contest, frames, scores, fit, request.search.budget, say)
    golden = pack_golden(golden_frames(arithmetic, frames, decided.limits["fp32"], about.foreground))
    kinds, flawed = list(defects.values()), _read_defects(about, list(defects), copies, say)
    told, counted = _found(files, decided, frames, flawed, kinds, about.foreground, say)
    report = describe(decided, networks, validation, len(pictures)) | told
    manifest = _manifest(request, about, decided, networks, frames, len(seen) + len(unseen))
    manifest["decision"] |= counted
    contents = {model_file(p): data for p, data in networks.files.items()} | {GOLDEN: golden}
    promise = promise_of(complete(manifest, contents))
    report["promise"] = asdict(promise)
    contents[REPORT] = json.dumps(report, indent=2).encode()
    contents[PAGE] = render(about, decided, networks, validation, report, kinds).encode(errors="replace")
    bundle = write_bundle(request.out, manifest, contents)
    for line in promise.lines:
        say(line)
    return bundle


def _check(request: Request) -> None:
    if request.false_reject_rate is not None and not 0 < request.false_reject_rate < 1:
        raise UsageError(f"--false-reject-rate {request.false_reject_rate} must lie between 0 and 1")
    if request.calibration_images < 1:
        raise UsageError(f"--calibration-images {request.calibration_images} must be at least 1")
    budget = request.search.budget
    if not request.search.seconds >= 0:
        raise UsageError(f"--search-seconds {request.search.seconds:g} must be at least 0")
    for name, value in (("auroc", budget.image_auroc), ("aupro", budget.aupro), ("verdicts", budget.verdicts)):
        if not value >= 0:
            raise UsageError(f"--budget-{name} {value} must be at least 0")
    if not -1 <= budget.rank_correlation <= 1:
        raise UsageError(f"--budget-rank {budget.rank_correlation} must be from -1 to 1")
    if request.out.exists():
        raise BundleError(f"{request.out}: is there already; give another --out or remove it")


def _threshold_scores(
    about: Checkpoint, exported: Bundle, unseen: Mapping[Path, Frame], say: Callable[[str], None]
) -> list[float]:
    """Return FP32's scores of the good parts that set the threshold; no score is from a model that has seen the part.

    If the training was cross-fitted, these are the scores of its own pictures and of pictures that it did not have. The
    pictures that it held out chose the system and choose INT8's layers, so they do not set the threshold as well.
    """
    chose = set(about.held_out) if about.scores else set()
    new = [frame for frame in unseen.values() if pixel_digest(frame) not in chose]
    engine = engine_of(exported, "fp32")
    scores = [*about.scores, *(engine.infer(frame).score for frame in new)]
    if about.scores:
        say(f"{len(scores)} good images set the threshold, {len(about.scores)} of them cross-fitted in training")
    else:
        say(f"{len(scores)} good images that the model has not seen set the threshold")
    return scores


def _make_networks(
    request: Request,
    about: Checkpoint,
    fp32: onnx.ModelProto,
    pictures: NDArray[np.uint8],
    validation: Validation,
    say: Callable[[str], None],
) -> Networks:
    of_fitted = partial(_draft_of_fitted, request, about)
    tensors = dict.fromkeys([*quantizable(fp32), *(value.name for value in fp32.graph.output)])
    activations = collect(fp32, list(tensors), _inputs(pictures))
    if distances := of_distances(fp32):
        few = pictures[:FLAWED]
        flaws = Flaws(few, seed=request.seed, foreground=about.foreground)
        flawed = [flaws.draw(i, 0).picture for i in range(len(few))]
        activations |= collect(fp32, distances, _inputs(np.stack(flawed)))
    workbench = Workbench(fp32, activations, validation, of_fitted)
    return make_networks(fp32, activations, workbench, of_fitted, request.search, say)


def _draft_of_fitted(request: Request, about: Checkpoint, networks: Mapping[Precision, bytes]) -> Bundle:
    """Return a bundle in the making whose pictures are fitted already."""
    return draft(about, networks, request.out, Fit(about.fit.width, about.fit.height))


def _add_bf16(networks: Networks, contest: Contest, say: Callable[[str], None]) -> None:
    """Add BF16 if this processor has it, and if it keeps the budget and is faster than INT8 that does so too."""
    own = contest.own_default
    if own is None:
        return
    say(str(own))
    faster = networks.broken or contest.latency_ms["int8"] > EVEN * own.latency_ms
    if own.type == "bf16" and not own.broken and faster and contest.own_maps is not None:
        file = networks.files["fp32"]
        networks.add("bf16", file, file, contest.own_maps, own.damage)


def _images(option: str, folder: Path, within: bool = False) -> list[Path]:
    """Return the images of a folder; with `within`, only those that lie directly in it."""
    if not folder.is_dir():
        raise DataSetError(f"{option} {clean(folder)}: no such folder")
    images = look_into(folder).images if within else list_images(folder)
    if not images and not within:
        raise DataSetError(f"{option} {nothing_here(folder)}")
    return images


def _defects(folder: Path) -> dict[Path, str]:
    """Return the defective images of a folder and its subfolders except `good`, each with its folder's name as kind."""
    found = dict.fromkeys(_images("--defects", folder, within=True), clean(folder.name))
    for each in sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")):
        found |= dict.fromkeys(look_into(each).images if each.name != "good" else [], clean(each.name))
    return found or dict.fromkeys(_images("--defects", folder), clean(folder.name))


def _found(
    files: Bundle,
    decided: Decided,
    good: list[Frame],
    defects: list[Frame],
    kinds: Sequence[str],
    foreground: str,
    say: Callable[[str], None],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the thresholds find among drawn flaws and real defects: for the report, and counted for the manifest.

    Scores are rounded only in the report: rounded, a score just above the threshold could seem to equal it.
    """
    preferred = decided.preference.preferred
    limit, sized = decided.limits[preferred], score_flaws(files, preferred, good, foreground)
    say(f"flaws of {len(sized)} sizes, drawn on good images, were judged in {preferred}")
    widths = [{"width": width, "scores": [round(score, 6) for score in scores]} for width, scores in sized.items()]
    told: dict[str, Any] = {"flaws": {"precision": preferred, "widths": widths}}
    counted: dict[str, Any] = {"flaws": found_flaws(sized, limit), "defects": []}
    if defects:
        told["defects"], scores = judge_defects(files, defects, decided.limits, say)
        counted["defects"] = found_defects(kinds, scores[preferred], limit)
    return told, counted


def _split(about: Checkpoint, images: list[Path], copies: Copies) -> tuple[list[Path], dict[Path, Frame]]:
    """Split the images into those that the model was trained on and those that it was not, these with their pixels.

    Copies of either go to `copies`. Images that the model was trained on score too low to set a threshold.
    """
    trained = set(about.trained_on)
    seen: list[Path] = []
    unseen: dict[Path, Frame] = {}
    for path in images:
        frame = read_image(path, about.fit.bits)
        digest = pixel_digest(frame)
        if not copies.is_new(path, digest):
            continue
        if digest in trained:
            seen.append(path)
        else:
            unseen[path] = frame
    if not unseen:
        raise DataSetError(
            f"{clean(images[0].parent)}: the model was trained on each of these {len(images)} images, so they cannot "
            "set a threshold; give good images it has not seen, or train with --hold-out above 0"
        )
    return seen, unseen


def _read_defects(about: Checkpoint, defects: list[Path], good: Copies, say: Callable[[str], None]) -> list[Frame]:
    """Return the defective images; report those that are among the good ones too."""
    frames = [read_image(path, about.fit.bits) for path in defects]
    pairs = zip(defects, frames, strict=True)
    if both := [clean(path) for path, frame in pairs if pixel_digest(frame) in good.first]:
        say(f"{len(both)} images are among --good and --defects: {both[0]}" + (", ..." if len(both) > 1 else ""))
    return frames


def _manifest(
    request: Request, about: Checkpoint, decided: Decided, networks: Networks, frames: list[Frame], good_images: int
) -> dict[str, Any]:
    measured, fits, chosen = decided.measured, decided.fits, networks.trials[0].recipe
    thresholds = {name: thresholds_of(m, fits[name], decided.scores_in(name)) for name, m in measured.items()}
    tolerance, preferred = tolerances(measured, decided.limits), decided.preference.preferred
    fields = manifest_fields(about, request.out, fits["fp32"].rate, thresholds, tolerance, preferred)
    fields["input"]["pictures"] = picture_range([examine(frame) for frame in frames]).model_dump()
    fields["decision"]["held_out_images"] = fits["fp32"].images
    fields["decision"]["images_wanted"] = fits["fp32"].images_wanted
    fields["decision"]["method"] = fits["fp32"].method
    fields["order"] = decided.preference.order
    fields["provenance"]["measured"] = {
        name: _worth_of(name, decided.contest, networks) for name in measured if name != "fp16"
    }
    fields["provenance"]["good_images"] = good_images
    fields["provenance"]["int8_plan"] = str(chosen.plan)
    fields["provenance"]["int8_method"] = chosen.method
    fields["provenance"]["int8_left_float"] = len(chosen.released)
    return fields


def _worth_of(name: Precision, contest: Contest, networks: Networks) -> dict[str, float]:
    """Return the time that a precision takes here and what it loses, for the manifest."""
    lost = networks.damages.get(name)
    told = {"latency_ms": round(contest.latency_ms[name], 3)}
    return told if lost is None else told | {"lost_" + key: lost.as_dict()[key] for key in ("image_auroc", "aupro")}


def _drift(about: Checkpoint, model: Network, frames: list[Frame], draft: Bundle) -> float:
    """Return how far the exported FP32 model's maps lie from the trained model's; raise an error if that is too far."""
    engine = engine_of(draft, "fp32")
    predict = torch_predictor(model, torch.device("cpu"), about.fit)
    drift, largest = 0.0, 0.0
    for frame in frames[:COMPARED]:
        wanted = predict(about.fit.apply(frame)[0])
        drift = max(drift, float(np.abs(engine.infer(frame).values - wanted).max()))
        largest = max(largest, float(np.abs(wanted).max()))
    if not drift <= fp32_tolerance(largest):
        raise CheckFailed(
            f"the exported model's maps differ from the trained model's by {drift:.3g}; no bundle was made"
        )
    return drift


def _calibration_pictures(about: Checkpoint, images: list[Path], request: Request) -> NDArray[np.uint8]:
    """Return images drawn at random and fitted; if the fit cuts tiles, each one drawn is a tile."""
    tiles = about.fit.grid.count
    drawn = sorted(np.random.default_rng(request.seed).permutation(len(images) * tiles)[: request.calibration_images])
    return np.concatenate(
        [
            load_fitted([images[image]], about.fit)[[place % tiles for place in places]]
            for image, places in itertools.groupby(drawn, lambda place: place // tiles)
        ]
    )


def _inputs(pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Return the network's input for each picture, (1, 3, H, W)."""
    return [np.ascontiguousarray(normalise(picture[None]).numpy()) for picture in pictures]
