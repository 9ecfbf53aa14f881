"""From a checkpoint to a bundle: export, quantize, find the thresholds, and write it whole or not at all."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from calibrate.activations import collect
from calibrate.confidence import percent
from calibrate.contest import Contest, hold_contest
from calibrate.export import to_onnx
from calibrate.manifest import draft, manifest_fields
from calibrate.measurement import Measurement, measure
from calibrate.networks import Networks, Search, make_networks
from calibrate.preference import EVEN, objection, prefer
from calibrate.quantize import of_distances, quantizable
from calibrate.report import Decided, describe, render
from calibrate.threshold import TailFit, resolvable_rate, tail_threshold
from calibrate.trials import Workbench
from calibrate.validation import Validation, draw_validation
from calibrate.verdicts import agreements, judge_defects
from edge.bundle import GOLDEN, Bundle, GoldenFrame, model_file, pack_golden, write_bundle
from edge.engines.openvino import OpenVinoEngine
from edge.errors import BundleError, CheckFailed, DataSetError, UsageError
from edge.fit import Fit
from edge.health.picture import examine, picture_range
from edge.images import Frame, list_images, nothing_here, pixel_digest, read_image
from edge.messages import Precision
from edge.text import clean
from models.network import Network
from train import checkpoint
from train.checkpoint import Checkpoint
from train.copies import Copies
from train.datasets import load_fitted
from train.evaluation import torch_predictor
from train.flaws import Flaws
from train.material import normalise

FP32_TOLERANCE, FP32_RELATIVE = 1e-3, 1e-4
GOLDEN_FRAMES = 4
LEAST_TOLERANCE = 0.01
FLAWED = 16
PIXEL_QUANTILE = 0.999
FEW_GOOD, MANY_GOOD = 30, 100
REPORT, PAGE = "report/calibration.json", "report/index.html"


@dataclass(frozen=True)
class Request:
    """What `calibrate bundle` is asked for.

    Attributes:
        run: Folder of the checkpoint.
        good: Folder of good images, some of which the model was not trained on.
        out: The bundle to write.
        defects: Folder of defective images, only reported on.
        false_reject_rate: Share of good parts that may be rejected; `None` is the smallest that the held-out good
            images resolve.
        calibration_images: Images (tiles, where frames are cut) the INT8 scales are taken from, at most.
        seed: Which ones.
        search: What INT8 may lose on validation, and how long layers to leave float are looked for.
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
    """Makes and writes the bundle, telling `say` what it decides.

    Raises:
        UsageError: A setting is out of range or `out` exists.
        DataSetError: There are no good images, or none the model has not seen.
        CheckpointError: The checkpoint cannot be used.
        CheckFailed: The exported model does not give the trained model's maps.
        BundleError: The bundle cannot be written.
    """
    _check(request)
    good = _images("--good", request.good)
    defects = _images("--defects", request.defects) if request.defects is not None else []
    about, model = checkpoint.load(request.run)
    copies = Copies()
    seen, unseen = _split(about, good, copies)
    frames = list(unseen.values())
    if str(copies):
        say(str(copies))
    say(f"{len(unseen)} good images the model has not seen set the threshold; {len(seen)} others only the INT8 scales")
    rate = request.false_reject_rate
    if rate is None:
        rate = resolvable_rate(len(unseen))
        say(f"the threshold is set to reject {percent(rate)} of good parts, the least that so many images can tell")
    fp32 = to_onnx(model, about.fit)
    golden, drift = _golden(about, model, frames, draft(about, {"fp32": fp32.SerializeToString()}, request.out))
    say(f"exported; maps differ from the trained model's by {drift:.1e} at most")
    pictures = _calibration_pictures(about, [*seen, *unseen], request)
    validation = draw_validation(frames, about.fit, about.foreground)
    networks = _make_networks(request, about, fp32, pictures, validation, say)
    contest = hold_contest(
        _draft_of_fitted(request, about, networks.arithmetic), validation, networks.maps["fp32"], request.search.budget
    )
    _add_bf16(networks, contest, say)
    decided = _decide(request, rate, about, networks, contest, frames, say)
    report = describe(decided, networks, validation, len(pictures))
    if defects:
        bundle = draft(about, networks.files, request.out)
        report["defects"] = judge_defects(bundle, _read_defects(about, defects, copies, say), decided.limits, say)
    contents = {model_file(p): data for p, data in networks.files.items()} | {GOLDEN: golden}
    contents[REPORT] = json.dumps(report, indent=2).encode()
    contents[PAGE] = render(about, decided, networks, validation, report).encode(errors="replace")
    return write_bundle(request.out, _manifest(request, rate, about, decided, networks, frames), contents)


def _check(request: Request) -> None:
    if request.false_reject_rate is not None and not 0 < request.false_reject_rate < 1:
        raise UsageError(f"--false-reject-rate {request.false_reject_rate} must lie between 0 and 1")
    if request.calibration_images < 1:
        raise UsageError(f"--calibration-images {request.calibration_images} must be at least 1")
    budget = request.search.budget
    if not request.search.seconds >= 0:
        raise UsageError(f"--search-seconds {request.search.seconds:g} must be at least 0")
    for name, value in (("auroc", budget.image_auroc), ("aupro", budget.aupro)):
        if not value >= 0:
            raise UsageError(f"--budget-{name} {value} must be at least 0")
    if not -1 <= budget.rank_correlation <= 1:
        raise UsageError(f"--budget-rank {budget.rank_correlation} must be from -1 to 1")
    if request.out.exists():
        raise BundleError(f"{request.out}: is there already; give another --out or remove it")


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
    """A bundle of pictures that are fitted already."""
    return draft(about, networks, request.out, Fit(about.fit.width, about.fit.height))


def _decide(
    request: Request,
    rate: float,
    about: Checkpoint,
    networks: Networks,
    contest: Contest,
    frames: list[Frame],
    say: Callable[[str], None],
) -> Decided:
    """Thresholds of each precision from its own arithmetic, so that the verdict does not change with the engine."""
    arithmetic = draft(about, networks.arithmetic, request.out)
    measured = {precision: measure(arithmetic, precision, frames) for precision in arithmetic.manifest.precisions}
    if "fp16" in measured:
        here = measure(draft(about, networks.files, request.out), "fp16", frames[:1])
        measured["fp16"] = dataclasses.replace(measured["fp16"], latency_ms=here.latency_ms)
    fits = {name: tail_threshold(m.scores, rate) for name, m in measured.items()}
    for name, fit in fits.items():
        say(f"{name}: {measured[name].latency_ms:.1f} ms, {fit}")
    _warn(measured["fp32"].scores, fits["fp32"], say)
    limits = {name: fit.threshold for name, fit in fits.items()}
    agreed = agreements({name: m.scores for name, m in measured.items()}, limits)
    for name, agreement in agreed.items():
        say(f"{name} {agreement} held-out good images")
    against = {name: objection(name, measured, networks, request.search.budget) for name in measured}
    own = contest.own_default
    if own is not None and own.type == "bf16" and own.broken:
        against["bf16"] = f"is beyond the budget ({own.broken})"
    preference = prefer(contest.latency_ms, against)
    say(f"a station runs {preference.preferred}: {preference.why}")
    return Decided(measured, fits, agreed, preference, contest)


def _warn(scores: Sequence[float], fit: TailFit, say: Callable[[str], None]) -> None:
    """Tells what a threshold of few good images is worth, and that it is worth nothing where they are all alike."""
    if fit.images < FEW_GOOD:
        say(
            f"warning: the threshold is a guess, for only {fit.images} good images that the model has not seen set it: "
            f"it may reject up to {percent(fit.rate_high)} of good parts; give at least {FEW_GOOD}, better "
            f"{MANY_GOOD}, and {fit.images_wanted} to rely on {percent(fit.rate)}"
        )
    if fit.images > 1 and np.ptp(scores) == 0:
        say("warning: these good images all score the same, so the threshold allows for no variation: are they copies?")


def _add_bf16(networks: Networks, contest: Contest, say: Callable[[str], None]) -> None:
    """Takes BF16 in where this processor has it, and where it keeps the budget and is faster than INT8 that does."""
    own = contest.own_default
    if own is None:
        return
    say(str(own))
    faster = networks.broken or contest.latency_ms["int8"] > EVEN * own.latency_ms
    if own.type == "bf16" and not own.broken and faster and contest.own_maps is not None:
        file = networks.files["fp32"]
        networks.add("bf16", file, file, contest.own_maps, own.damage)


def _thresholds(measured: Measurement, fit: TailFit) -> dict[str, Any]:
    """The thresholds of one precision.

    The pixel threshold is the value that one pixel in a thousand of good parts exceeds. It rejects nothing: it outlines
    the regions of parts that are rejected anyway, and for that rate a single good image has pixels enough: no tail is
    fitted. It is never above the image threshold, so that a rejected part has a region. Padding, where no region can
    lie, does not count.
    """
    shown = np.concatenate([values.ravel() for values in measured.shown])
    return {
        "image": fit.threshold,
        "pixel": min(float(np.quantile(shown, PIXEL_QUANTILE)), fit.threshold),
        "method": fit.method,
        "image_low": fit.threshold_low,
        "image_high": fit.threshold_high,
        "rate_low": fit.rate_low,
        "rate_high": fit.rate_high,
        "scores": _scores(measured.scores),
    }


def _scores(scores: Sequence[float]) -> dict[str, float] | None:
    """How good parts score; one image does not tell how far they differ."""
    if len(scores) < 2:
        return None
    return {"mean": float(np.mean(scores)), "deviation": float(np.std(scores, ddof=1))}


def _tolerance(measured: Mapping[Precision, Measurement]) -> dict[Precision, float]:
    """How far golden maps may drift: twice what a precision moves held-out maps here, for kernels differ."""
    largest = max(float(np.abs(values).max()) for values in measured["fp32"].maps)
    tolerance: dict[Precision, float] = {"fp32": _fp32_tolerance(largest)}
    for precision in measured.keys() - {"fp32"}:
        pairs = zip(measured["fp32"].maps, measured[precision].maps, strict=True)
        largest = max(float(np.abs(a - b).max()) for a, b in pairs)
        tolerance[precision] = round(max(2 * largest, LEAST_TOLERANCE), 4)
    return tolerance


def _fp32_tolerance(largest: float) -> float:
    """How far float32 maps may lie apart: the rounding errors of DMDD's, whose values reach tens, grow with them."""
    return round(max(FP32_TOLERANCE, FP32_RELATIVE * largest), 6)


def _images(option: str, folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataSetError(f"{option} {clean(folder)}: no such folder")
    images = list_images(folder)
    if not images:
        raise DataSetError(f"{option} {nothing_here(folder)}")
    return images


def _split(about: Checkpoint, images: list[Path], copies: Copies) -> tuple[list[Path], dict[Path, Frame]]:
    """Images the model was trained on, and those it was not, with their pixels; copies of either go to `copies`.

    Scores of the former are too low to set a threshold.
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
    """The defective images; those that are among the good ones too are said."""
    frames = [read_image(path, about.fit.bits) for path in defects]
    pairs = zip(defects, frames, strict=True)
    if both := [clean(path) for path, frame in pairs if pixel_digest(frame) in good.first]:
        say(f"{len(both)} images are among --good and --defects: {both[0]}" + (", ..." if len(both) > 1 else ""))
    return frames


def _manifest(
    request: Request, rate: float, about: Checkpoint, decided: Decided, networks: Networks, frames: list[Frame]
) -> dict[str, Any]:
    measured, fits, chosen = decided.measured, decided.fits, networks.trials[0].recipe
    thresholds = {name: _thresholds(m, fits[name]) for name, m in measured.items()}
    tolerance, preferred = _tolerance(measured), decided.preference.preferred
    fields = manifest_fields(about, request.out, rate, thresholds, tolerance, preferred)
    fields["input"]["pictures"] = picture_range([examine(frame) for frame in frames]).model_dump()
    fields["decision"]["held_out_images"] = len(measured["fp32"].scores)
    fields["decision"]["images_wanted"] = fits[preferred].images_wanted
    fields["decision"]["method"] = fits[preferred].method
    fields["order"] = {"openvino": decided.preference.openvino, "tensorrt": decided.preference.tensorrt}
    fields["provenance"]["measured"] = {
        name: _worth_of(name, decided.contest, networks) for name in measured if name != "fp16"
    }
    fields["provenance"]["int8_plan"] = str(chosen.plan)
    fields["provenance"]["int8_method"] = chosen.method
    fields["provenance"]["int8_left_float"] = len(chosen.released)
    return fields


def _worth_of(name: Precision, contest: Contest, networks: Networks) -> dict[str, float]:
    """What a precision takes here and loses, for the manifest."""
    lost = networks.damages.get(name)
    told = {"latency_ms": round(contest.latency_ms[name], 3)}
    return told if lost is None else told | {"lost_" + key: lost.as_dict()[key] for key in ("image_auroc", "aupro")}


def _golden(about: Checkpoint, model: Network, frames: list[Frame], draft: Bundle) -> tuple[bytes, float]:
    """The golden frames as .npz, and how far the exported FP32 model's maps lie from the trained model's."""
    engine = OpenVinoEngine(draft, "fp32")
    predict = torch_predictor(model, torch.device("cpu"), about.fit)
    golden, drift, largest = [], 0.0, 0.0
    for frame in frames[:GOLDEN_FRAMES]:
        anomaly = engine.infer(frame)
        wanted = predict(about.fit.apply(frame)[0])
        drift = max(drift, float(np.abs(anomaly.values - wanted).max()))
        largest = max(largest, float(np.abs(wanted).max()))
        golden.append(GoldenFrame(frame=frame, score=anomaly.score, map=anomaly.values.copy()))
    if not drift <= _fp32_tolerance(largest):
        raise CheckFailed(
            f"the exported model's maps differ from the trained model's by {drift:.3g}; no bundle was made"
        )
    return pack_golden(golden), drift


def _calibration_pictures(about: Checkpoint, images: list[Path], request: Request) -> NDArray[np.uint8]:
    """Images drawn at random, fitted; where the fit has tiles, each one drawn is a tile."""
    tiles = about.fit.grid.count
    drawn = sorted(np.random.default_rng(request.seed).permutation(len(images) * tiles)[: request.calibration_images])
    return np.concatenate(
        [
            load_fitted([images[image]], about.fit)[[place % tiles for place in places]]
            for image, places in itertools.groupby(drawn, lambda place: place // tiles)
        ]
    )


def _inputs(pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """What the network sees of each, (1, 3, H, W)."""
    return [np.ascontiguousarray(normalise(picture[None]).numpy()) for picture in pictures]
