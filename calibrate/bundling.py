"""From a checkpoint to a bundle: export, quantize, find the thresholds, and write it whole or not at all."""

from __future__ import annotations

import itertools
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import torch
from numpy.typing import NDArray

from calibrate.export import INPUT, outputs_of, to_onnx
from calibrate.measurement import Measurement, measure
from calibrate.plans import try_plans
from calibrate.quantize import activation_scales
from calibrate.threshold import TailFit, tail_threshold
from calibrate.verdicts import Agreement, agreements, judge_defects
from edge import __version__
from edge.bundle import (
    FORMAT,
    GOLDEN,
    PRECISIONS,
    Bundle,
    GoldenFrame,
    Manifest,
    model_file,
    pack_golden,
    write_bundle,
)
from edge.engines.openvino import OpenVinoEngine
from edge.errors import BundleError, CheckFailed, DataSetError, UsageError
from edge.files import sha256
from edge.fit import MEAN, STD
from edge.images import Frame, list_images, read_image
from edge.messages import Precision, format_time, utc_now
from models.discrepancy import SIGMA
from models.registry import System
from train import checkpoint
from train.checkpoint import Checkpoint
from train.datasets import load_fitted
from train.evaluation import torch_predictor
from train.material import normalise

FP32_TOLERANCE = 1e-3
GOLDEN_FRAMES = 4
TRIAL_FRAMES = 8
MOST_SHIFT = 0.5
PIXEL_QUANTILE = 0.999


@dataclass(frozen=True)
class Request:
    """What `calibrate bundle` is asked for.

    Attributes:
        run: Folder of the checkpoint.
        good: Folder of good images, some of which the model was not trained on.
        out: The bundle to write.
        defects: Folder of defective images, only reported on.
        false_reject_rate: Share of good parts that may be rejected.
        calibration_images: Images (tiles, where frames are cut) the INT8 scales are taken from, at most.
        seed: Which ones.
    """

    run: Path
    good: Path
    out: Path
    defects: Path | None = None
    false_reject_rate: float = 0.001
    calibration_images: int = 64
    seed: int = 0


def make_bundle(request: Request, say: Callable[[str], None]) -> Bundle:
    """Makes and writes the bundle, telling `say` what it decides.

    Raises:
        UsageError: A setting is out of range or `out` exists.
        DataSetError: There are no good images, or none the model has not seen.
        CheckpointError: The checkpoint cannot be used.
        CheckFailed: The exported model does not give the trained model's maps.
        BundleError: The bundle cannot be written.
    """
    if not 0 < request.false_reject_rate < 1:
        raise UsageError(f"--false-reject-rate {request.false_reject_rate} must lie between 0 and 1")
    if request.calibration_images < 1:
        raise UsageError(f"--calibration-images {request.calibration_images} must be at least 1")
    if request.out.exists():
        raise BundleError(f"{request.out}: is there already; give another --out or remove it")
    good = _images("--good", request.good)
    defects = _images("--defects", request.defects) if request.defects is not None else []
    about, model = checkpoint.load(request.run)
    seen, unseen = _split(about, good)
    say(f"{len(unseen)} good images the model has not seen set the threshold; {len(seen)} others only the INT8 scales")
    frames = [read_image(path) for path in unseen]
    fp32 = to_onnx(model, about.fit)
    contents = {model_file("fp32"): fp32.SerializeToString()}
    draft = _draft(about, contents, request)
    golden, drift = _golden(about, model, frames, draft)
    say(f"exported; maps differ from the trained model's by {drift:.1e} at most")
    inputs = _calibration_inputs(about, [*seen, *unseen], request)
    scales = activation_scales(fp32, inputs)
    few = frames[:TRIAL_FRAMES]
    trials = try_plans(
        fp32,
        scales,
        few,
        measure(draft, "fp32", few),
        lambda onnx_int8: _draft(about, {model_file("int8"): onnx_int8}, request),
    )
    chosen = trials[0]
    say(f"INT8: {chosen.plan}; scores move by {chosen.score_shift:.4f} on average")
    contents[model_file("int8")] = chosen.model
    bundle = _draft(about, contents, request)
    measured = {precision: measure(bundle, precision, frames) for precision in bundle.manifest.precisions}
    fits = {name: tail_threshold(m.scores, request.false_reject_rate) for name, m in measured.items()}
    for name, fit in fits.items():
        say(f"{name}: {measured[name].latency_ms:.1f} ms, {fit}")
    limits = {name: fit.threshold for name, fit in fits.items()}
    agreed = agreements({name: m.scores for name, m in measured.items()}, limits)
    for name, agreement in agreed.items():
        say(f"{name} {agreement} held-out good images")
    preferred = _preferred(measured, say)
    thresholds = {name: _thresholds(m, fits[name]) for name, m in measured.items()}
    report: dict[str, Any] = {
        "precisions": {name: _describe(m, fits[name], agreed.get(name)) for name, m in measured.items()},
        "int8_plans": [trial.as_dict() for trial in trials],
        "calibration_images": len(inputs),
        "machine": {"processor": platform.processor() or platform.machine(), "openvino": ov.__version__},
    }
    if defects:
        report["defects"] = judge_defects(bundle, [read_image(path) for path in defects], limits, say)
    contents[GOLDEN] = golden
    contents["report/calibration.json"] = json.dumps(report, indent=2).encode()
    manifest = _manifest(about, request, thresholds, _tolerance(measured), preferred)
    manifest["decision"]["held_out_images"] = len(frames)
    manifest["decision"]["images_wanted"] = fits[preferred].images_wanted
    manifest["decision"]["method"] = fits[preferred].method
    manifest["provenance"]["int8_plan"] = str(chosen.plan)
    return write_bundle(request.out, manifest, contents)


def _preferred(measured: Mapping[Precision, Measurement], say: Callable[[str], None]) -> Precision:
    """INT8, unless it is no faster here or moves good scores by more than half of what they differ among themselves."""
    fp32, int8 = measured["fp32"], measured["int8"]
    shift, spread = float(np.mean(np.abs(np.subtract(int8.scores, fp32.scores)))), float(np.std(fp32.scores))
    if len(fp32.scores) > 1 and shift > MOST_SHIFT * spread:
        say(f"INT8 moves good scores by {shift:.4f}, and they differ by {spread:.4f}: the bundle prefers FP32")
        return "fp32"
    if int8.latency_ms >= fp32.latency_ms:
        say("INT8 is no faster than FP32 on this box, so the bundle prefers FP32; INT8 is in it all the same")
        return "fp32"
    return "int8"


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
    }


def _tolerance(measured: Mapping[Precision, Measurement]) -> dict[Precision, float]:
    """How far golden maps may drift: in INT8 twice what it moves held-out maps here, as kernels differ by processor."""
    pairs = zip(measured["fp32"].maps, measured["int8"].maps, strict=True)
    largest = max(float(np.abs(a - b).max()) for a, b in pairs)
    return {"int8": round(max(2 * largest, 0.01), 4), "fp32": FP32_TOLERANCE}


def _describe(measured: Measurement, fit: TailFit, agreement: Agreement | None) -> dict[str, Any]:
    described = {
        "latency_ms_median": round(measured.latency_ms, 3),
        **asdict(fit),
        "enough": fit.enough,
        "good_scores": [round(score, 6) for score in measured.scores],
    }
    return described | ({"verdicts_as_fp32": asdict(agreement)} if agreement else {})


def _images(option: str, folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataSetError(f"{option} {folder}: no such folder")
    images = list_images(folder)
    if not images:
        raise DataSetError(f"{option} {folder}: holds no images")
    return images


def _split(about: Checkpoint, images: list[Path]) -> tuple[list[Path], list[Path]]:
    """Images the model was trained on, and those it was not: scores of the former are too low to set a threshold."""
    trained = set(about.trained_on)
    known = {path: sha256(path) in trained for path in images}
    unseen = [path for path in images if not known[path]]
    if not unseen:
        raise DataSetError(
            f"{images[0].parent}: the model was trained on each of these {len(images)} images, so they cannot set a "
            "threshold; give good images it has not seen, or train with --hold-out above 0"
        )
    return [path for path in images if known[path]], unseen


def _draft(about: Checkpoint, contents: dict[str, bytes], request: Request) -> Bundle:
    """A bundle in memory, not decided yet, so that the engine measured here is the one that runs on the box."""
    precisions = [p for p in PRECISIONS if model_file(p) in contents]
    none = {p: {"image": 0.0, "pixel": 0.0} for p in precisions}
    fields = _manifest(about, request, none, dict.fromkeys(precisions, 0.0), precisions[0])
    files = dict.fromkeys([GOLDEN, *contents], {"sha256": "0" * 64, "bytes": 0})
    manifest = Manifest.model_validate({"format": FORMAT, **fields, "files": files})
    return Bundle(request.out, manifest, "", contents.__getitem__)


def _manifest(
    about: Checkpoint,
    request: Request,
    thresholds: Mapping[Precision, dict[str, float]],
    tolerance: Mapping[Precision, float],
    preferred: Precision,
) -> dict[str, Any]:
    return {
        "name": request.out.name.removesuffix(".zip"),
        "created": format_time(utc_now()),
        "model": {
            "system": about.model,
            "teacher": about.teacher,
            "teacher_sha256": about.teacher_sha256,
            "category": about.category,
        },
        "input": {"name": INPUT, "fit": about.fit.as_dict(), "mean": MEAN, "std": STD},
        "outputs": outputs_of(about.model),
        "decision": {
            "sigma": SIGMA,
            "top": 1,
            "min_area_px": 4,
            "false_reject_rate": request.false_reject_rate,
            "held_out_images": 1,
            "method": "none yet",
            "thresholds": thresholds,
        },
        "golden": {"tolerance": tolerance},
        "precisions": [p for p in PRECISIONS if p in thresholds],
        "preferred": preferred,
        "provenance": {
            "edge_inspect": __version__,
            "epochs": about.epochs,
            "seed": about.seed,
            "trained_on_images": len(about.trained_on),
            "versions": {"torch": str(torch.__version__), "onnx": onnx.__version__, "openvino": ov.__version__},
        },
    }


def _golden(about: Checkpoint, model: System, frames: list[Frame], draft: Bundle) -> tuple[bytes, float]:
    """The golden frames as .npz, and how far the exported FP32 model's maps lie from the trained model's."""
    engine = OpenVinoEngine(draft, "fp32")
    predict = torch_predictor(model, torch.device("cpu"), about.fit)
    golden, drift = [], 0.0
    for frame in frames[:GOLDEN_FRAMES]:
        anomaly = engine.infer(frame)
        drift = max(drift, float(np.abs(anomaly.values - predict(about.fit.apply(frame)[0])).max()))
        golden.append(GoldenFrame(frame=frame, score=anomaly.score, map=anomaly.values.copy()))
    if not drift <= FP32_TOLERANCE:
        raise CheckFailed(
            f"the exported model's maps differ from the trained model's by {drift:.3g}; no bundle was made"
        )
    return pack_golden(golden), drift


def _calibration_inputs(about: Checkpoint, images: list[Path], request: Request) -> list[NDArray[np.float32]]:
    """Images drawn at random as the network sees them; where the fit has tiles, each one drawn is a tile."""
    tiles = about.fit.grid.count
    drawn = sorted(np.random.default_rng(request.seed).permutation(len(images) * tiles)[: request.calibration_images])
    return [
        np.ascontiguousarray(normalise(tile[None]).numpy())
        for image, places in itertools.groupby(drawn, lambda place: place // tiles)
        for tile in load_fitted([images[image]], about.fit)[[place % tiles for place in places]]
    ]
