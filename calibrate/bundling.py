"""From a checkpoint to a bundle: export it, quantize it, find the thresholds, and write all of it or nothing."""

from __future__ import annotations

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

from edge_inspect.calibrate.area_scales import scale_areas
from edge_inspect.calibrate.counts import found_defects, found_flaws
from edge_inspect.calibrate.decision import Decided, decide, fit_fp32, thresholds_of
from edge_inspect.calibrate.drafts import alignment_file, draft, draft_manifest
from edge_inspect.calibrate.engines import engine_of, engines_forgotten
from edge_inspect.calibrate.export import to_onnx
from edge_inspect.calibrate.flaw_sizes import score_flaws
from edge_inspect.calibrate.golden import fp32_tolerance, golden_frames, tolerances
from edge_inspect.calibrate.int8.activations import collect
from edge_inspect.calibrate.int8.quantize import of_distances, quantizable
from edge_inspect.calibrate.int8.trials import Workbench
from edge_inspect.calibrate.manifest import ManifestDraft
from edge_inspect.calibrate.networks import Networks, Search, make_networks
from edge_inspect.calibrate.pictures import (
    draw_pictures,
    list_defects,
    list_good,
    network_inputs,
    read_defects,
    split_seen,
)
from edge_inspect.calibrate.precisions.contest import Contest, hold_contest
from edge_inspect.calibrate.precisions.validation import Validation, draw_validation
from edge_inspect.calibrate.precisions.verdicts import judge_defects
from edge_inspect.calibrate.report.report import describe, render
from edge_inspect.edge.bundle.bundle import Bundle, pack_golden, write_bundle
from edge_inspect.edge.bundle.manifest import GOLDEN, REPORT, DefectsFound, FlawsFound, complete, model_file
from edge_inspect.edge.bundle.promise import promise_of
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.errors import BundleError, CheckFailed, UsageError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, pixel_digest
from edge_inspect.edge.health.picture import MeasuredPixels, examine, picture_range
from edge_inspect.models.network import Network
from edge_inspect.train import checkpoint
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.copies import Copies
from edge_inspect.train.evaluation import torch_predictor
from edge_inspect.train.flaws import Flaws

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
    check_request(request)
    good = list_good(request.good)
    defects = list_defects(request.defects) if request.defects is not None else {}
    about, model = checkpoint.load(request.run)
    copies = Copies()
    seen, unseen = split_seen(about, good, copies, say)
    frames = list(unseen.values())
    if str(copies):
        say(str(copies))
    fp32 = to_onnx(model, about.fit)
    chose = set(about.held_out) if about.scores else set()
    # The pictures that were held out chose the system and choose INT8's layers, so they do not set the threshold too.
    new = [frame for frame in frames if pixel_digest(frame) not in chose]
    about = scale_areas(about, fp32.SerializeToString(), new, request.out, say)
    exported = draft(about, {"fp32": fp32.SerializeToString()}, request.out)
    drift = _drift(about, model, frames, exported)
    say(f"exported; maps differ from the trained model's by {drift:.1e} at most")
    scores = _threshold_scores(about, exported, new, say)
    fit = fit_fp32(scores, request.false_reject_rate, say)
    pictures = draw_pictures(about.fit, [*seen, *unseen], request.calibration_images, request.seed)
    validation = draw_validation(frames, about.fit, about.foreground, fit.threshold)
    networks = _make_networks(request, about, fp32, pictures, validation, say)
    contest = hold_contest(
        _draft_of_fitted(request, about, networks.arithmetic), validation, networks.maps["fp32"], request.search.budget
    )
    _add_bf16(networks, contest, say)
    arithmetic, files = (draft(about, each, request.out) for each in (networks.arithmetic, networks.files))
    decided = decide((arithmetic, files), networks, contest, frames, scores, fit, request.search.budget, say)
    golden = pack_golden(golden_frames(arithmetic, frames, decided.limits["fp32"], about.foreground))
    flawed = read_defects(about, list(defects), copies, say)
    kinds = [defects[path] for path in flawed]
    found = _find(files, decided, frames, list(flawed.values()), kinds, about.foreground, say)
    manifest = _manifest(request, about, decided, networks, found, frames, len(seen) + len(unseen)).as_dict()
    contents = (
        {model_file(p): data for p, data in networks.files.items()} | {GOLDEN: golden} | alignment_file(about.fit)
    )
    promise = promise_of(complete(manifest, contents))
    report = describe(decided, networks, validation, len(pictures)) | found.entries | {"promise": asdict(promise)}
    contents[REPORT] = json.dumps(report, indent=2).encode()
    contents[PAGE] = render(about, decided, networks, validation, report, kinds).encode(errors="replace")
    bundle = write_bundle(request.out, manifest, contents)
    for line in promise.lines:
        say(line)
    return bundle


def check_request(request: Request) -> None:
    """Check the settings; pictures and checkpoint are not looked at.

    Raises:
        UsageError: A setting is out of range.
        BundleError: `out` exists already.
    """
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
        raise BundleError(f"{request.out}: already exists; give another --out or remove it")


def _threshold_scores(
    about: Checkpoint, exported: Bundle, new: Sequence[Frame], say: Callable[[str], None]
) -> list[float]:
    """Return FP32's scores of the good parts that set the threshold; no score is from a model that has seen the part.

    If the training was cross-fitted, these are the scores of its own pictures and of pictures that it did not have.

    Args:
        about: Description of the checkpoint.
        exported: The network as a bundle.
        new: Frames of good parts that the model has not seen, and that nothing was chosen by.
        say: Called with the number of parts.
    """
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
    activations = collect(fp32, list(tensors), network_inputs(pictures))
    if distances := of_distances(fp32):
        few = pictures[:FLAWED]
        flaws = Flaws(few, seed=request.seed, foreground=about.foreground)
        flawed = [flaws.draw(i, 0).picture for i in range(len(few))]
        activations |= collect(fp32, distances, network_inputs(np.stack(flawed)))
    workbench = Workbench(fp32, activations, validation, of_fitted)
    return make_networks(fp32, activations, workbench, of_fitted, request.search, say)


def _draft_of_fitted(request: Request, about: Checkpoint, networks: Mapping[Precision, bytes]) -> Bundle:
    """Return a bundle in the making whose pictures are fitted already; if the fit cuts tiles, they are tiles."""
    whole = about.fit.grid.count == 1
    return draft(about, networks, request.out, about.fit if whole else Fit(about.fit.width, about.fit.height))


def _add_bf16(networks: Networks, contest: Contest, say: Callable[[str], None]) -> None:
    """Add BF16 if this processor has it and it keeps the budget. A box may run it faster than INT8."""
    own = contest.own_default
    if own is None:
        return
    say(str(own))
    if own.type == "bf16" and not own.broken and contest.own_maps is not None:
        file = networks.files["fp32"]
        networks.add("bf16", file, file, contest.own_maps, own.damage)


@dataclass(frozen=True)
class _Found:
    """What the thresholds find among drawn flaws and real defects.

    Attributes:
        entries: Entries for the report.
        flaws: Counts of flaws that the preferred precision finds, for the manifest.
        defects: Counts of real defects that it finds; empty if there are none.
    """

    entries: dict[str, Any]
    flaws: list[FlawsFound]
    defects: list[DefectsFound]


def _find(
    files: Bundle,
    decided: Decided,
    good: list[Frame],
    defects: list[Frame],
    kinds: Sequence[str],
    foreground: str,
    say: Callable[[str], None],
) -> _Found:
    """Judge drawn flaws and real defects by the thresholds.

    Scores are rounded only in the report: rounded, a score just above the threshold could seem to equal it.
    """
    preferred = decided.preference.preferred
    limit, sized = decided.limits[preferred], score_flaws(files, preferred, good, foreground)
    say(f"flaws of {len(sized)} sizes, drawn on good images, were judged in {preferred}")
    widths = [{"width": width, "scores": [round(score, 6) for score in scores]} for width, scores in sized.items()]
    flaws = {"precision": preferred, "widths": widths}
    if not defects:
        return _Found({"flaws": flaws}, found_flaws(sized, limit), [])
    judged, scores = judge_defects(files, defects, decided.limits, say)
    counted = found_defects(kinds, scores[preferred], limit)
    return _Found({"flaws": flaws, "defects": judged}, found_flaws(sized, limit), counted)


def _manifest(
    request: Request,
    about: Checkpoint,
    decided: Decided,
    networks: Networks,
    found: _Found,
    frames: list[Frame],
    good_images: int,
) -> ManifestDraft:
    measured, fits, chosen = decided.measured, decided.fits, networks.trials[0].recipe
    pixels = MeasuredPixels.of(about.fit)
    provenance = {
        "measured": {name: _worth_of(name, decided.contest, networks) for name in measured if name != "fp16"},
        "good_images": good_images,
        "int8_plan": str(chosen.plan),
        "int8_method": chosen.method,
        "int8_left_float": len(chosen.released),
    }
    return (
        draft_manifest(about, [*measured], request.out)
        .with_pictures(picture_range([examine(frame, pixels) for frame in frames]))
        .with_decision(
            {name: thresholds_of(m, fits[name], decided.scores_in(name)) for name, m in measured.items()},
            method=fits["fp32"].method,
            false_reject_rate=fits["fp32"].rate,
            held_out_images=fits["fp32"].images,
            images_wanted=fits["fp32"].images_wanted,
            flaws=found.flaws,
            defects=found.defects,
        )
        .with_tolerance(tolerances(measured, decided.limits))
        .with_preference(decided.preference.preferred, decided.preference.order)
        .with_provenance(provenance)
    )


def _worth_of(name: Precision, contest: Contest, networks: Networks) -> dict[str, float]:
    """Return the time that a precision takes here and what it loses, for the manifest."""
    lost = networks.damages.get(name)
    measured = {"latency_ms": round(contest.latency_ms[name], 3)}
    return (
        measured
        if lost is None
        else measured | {"lost_" + key: lost.as_dict()[key] for key in ("image_auroc", "aupro")}
    )


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
