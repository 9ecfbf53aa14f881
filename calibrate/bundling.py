"""From a checkpoint to a bundle: export, quantize, find the thresholds, and write it whole or not at all."""

from __future__ import annotations

import io
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import torch
from numpy.typing import NDArray

from calibrate.export import INPUT, output_names, to_onnx
from calibrate.quantize import Plan, activation_scales, quantize
from calibrate.threshold import TailFit, tail_threshold
from edge import __version__
from edge.bundle import FORMAT, GOLDEN, PRECISIONS, Bundle, FilePart, Manifest, model_file, write_bundle
from edge.engines import Engine
from edge.engines.openvino import OpenVinoEngine
from edge.errors import BundleError, CheckFailed, DataSetError, UsageError
from edge.files import sha256
from edge.fit import MEAN, STD
from edge.images import Frame, list_images, read_image
from edge.messages import Precision, format_time, utc_now
from models.discrepancy import SIGMA
from models.rd import ReverseDistillation
from train import checkpoint
from train.checkpoint import Checkpoint
from train.evaluation import torch_predictor
from train.progress import tracked
from train.training import normalise

PLANS = (
    Plan(),
    Plan(deconvolutions=False),
    Plan(pixel_shuffle=True),
    Plan(residuals=False),
    Plan(residuals=False, deconvolutions=False),
)
FP32_TOLERANCE = 1e-3
GOLDEN_FRAMES = 4
TIMED_RUNS = 12
SLACK = 1.25
"""A faster plan may move the scores this much more than the most faithful one."""


@dataclass(frozen=True)
class Request:
    """What `calibrate bundle` is asked for.

    Attributes:
        run: Folder of the checkpoint.
        good: Folder of good images, some of which the model was not trained on.
        out: The bundle to write.
        defects: Folder of defective images, only reported on.
        false_reject_rate: Share of good parts that may be rejected.
        calibration_images: Images the INT8 scales are taken from, at most.
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
    if request.out.exists():
        raise BundleError(f"{request.out}: is there already; give another --out or remove it")
    about, model = checkpoint.load(request.run)
    seen, unseen = _split(about, _good_images(request.good))
    say(f"{len(unseen)} good images the model has not seen set the threshold; {len(seen)} others only the INT8 scales")
    frames = [read_image(path) for path in unseen]
    started = time.perf_counter()
    fp32 = to_onnx(model, about.fit)
    contents = {model_file("fp32"): fp32.SerializeToString()}
    golden, drift = _golden(about, model, frames, _draft(about, contents, request))
    say(f"exported in {time.perf_counter() - started:.0f} s; maps differ from the trained model's by {drift:.1e} at most")
    inputs = _calibration_inputs(about, [*seen, *unseen], request)
    int8, plan, trials = _choose_plan(about, fp32, inputs, frames, request, say)
    contents[model_file("int8")] = int8
    bundle = _draft(about, contents, request)
    measured = {precision: _measure(bundle, precision, frames) for precision in ("fp32", "int8")}
    thresholds, methods, tolerance = {}, {}, {"fp32": FP32_TOLERANCE}
    for precision, scores in measured.items():
        fit = tail_threshold(scores.values, request.false_reject_rate)
        thresholds[precision] = {"image": fit.threshold, "pixel": min(scores.pixel_level, fit.threshold)}
        methods[precision] = fit
        say(f"{precision}: {scores.latency_ms:.1f} ms, threshold {fit.threshold:.4f} ({fit.method})")
    largest = max(float(np.abs(a - b).max()) for a, b in zip(measured["fp32"].maps, measured["int8"].maps, strict=True))
    tolerance["int8"] = round(max(2 * largest, 0.01), 4)
    faster = measured["int8"].latency_ms < measured["fp32"].latency_ms
    preferred: Precision = "int8" if faster else "fp32"
    if not faster:
        say("INT8 is no faster than FP32 on this box, so the bundle prefers FP32; INT8 is in it all the same")
    report = {
        "precisions": {name: m.as_dict(methods[name]) for name, m in measured.items()},
        "int8_plans": trials,
        "calibration_images": len(inputs),
        "machine": {"processor": platform.processor() or platform.machine(), "openvino": ov.__version__},
    }
    if request.defects is not None:
        report["defects"] = _defects(bundle, request.defects, thresholds)
        for name, found in report["defects"].items():
            say(f"{name}: {found['rejected']} of {found['images']} defective images above the threshold")
    contents[GOLDEN] = golden
    contents["report/calibration.json"] = json.dumps(report, indent=2).encode()
    manifest = _manifest(about, request, thresholds, tolerance, preferred)
    manifest["decision"]["held_out_images"] = len(frames)
    manifest["decision"]["method"] = methods[preferred].method
    manifest["provenance"]["int8_plan"] = str(plan)
    return write_bundle(request.out, manifest, contents)


@dataclass(frozen=True)
class _Measured:
    """What one precision says of the held-out good images."""

    values: list[float]
    maps: list[NDArray[np.float32]]
    pixel_level: float
    latency_ms: float

    def as_dict(self, fit: TailFit) -> dict[str, Any]:
        return {
            "latency_ms_median": round(self.latency_ms, 3),
            "threshold": fit.threshold,
            "threshold_method": fit.method,
            "good_scores": [round(v, 6) for v in self.values],
        }


def _good_images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataSetError(f"--good {folder}: no such folder")
    images = list_images(folder)
    if not images:
        raise DataSetError(f"--good {folder}: holds no images")
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
    empty = FilePart(sha256="0" * 64, bytes=0)
    files = dict.fromkeys([GOLDEN, *contents], empty)
    return Bundle(request.out, Manifest(format=FORMAT, files=files, **fields), "", contents.__getitem__)


def _manifest(
    about: Checkpoint,
    request: Request,
    thresholds: dict[str, dict[str, float]],
    tolerance: dict[str, float],
    preferred: str,
) -> dict[str, Any]:
    teacher, student = output_names()
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
        "outputs": {"kind": "feature_pairs", "teacher": teacher, "student": student},
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


def _golden(
    about: Checkpoint, model: ReverseDistillation, frames: list[Frame], draft: Bundle
) -> tuple[bytes, float]:
    """The golden frames as .npz, and how far the exported FP32 model's maps lie from the trained model's."""
    engine = OpenVinoEngine(draft, "fp32")
    predict = torch_predictor(model, torch.device("cpu"))
    arrays: dict[str, NDArray[Any]] = {}
    scores, maps, drift = [], [], 0.0
    for i, frame in enumerate(frames[:GOLDEN_FRAMES]):
        anomaly = engine.infer(frame)
        drift = max(drift, float(np.abs(anomaly.values - predict(about.fit.apply(frame)[0])).max()))
        arrays[f"frame{i}"] = frame
        scores.append(anomaly.score)
        maps.append(anomaly.values.copy())
    if not drift <= FP32_TOLERANCE:
        raise CheckFailed(f"the exported model's maps differ from the trained model's by {drift:.3g}; no bundle was made")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, scores=np.array(scores, np.float64), maps=np.stack(maps), **arrays)
    return buffer.getvalue(), drift


def _calibration_inputs(about: Checkpoint, images: list[Path], request: Request) -> list[NDArray[np.float32]]:
    chosen = np.random.default_rng(request.seed).permutation(len(images))[: request.calibration_images]
    return [
        np.ascontiguousarray(normalise(about.fit.apply(read_image(images[i]))[0][None]).numpy()) for i in sorted(chosen)
    ]


def _choose_plan(
    about: Checkpoint,
    fp32: onnx.ModelProto,
    inputs: list[NDArray[np.float32]],
    frames: list[Frame],
    request: Request,
    say: Callable[[str], None],
) -> tuple[bytes, Plan, list[dict[str, Any]]]:
    """The fastest INT8 form on this box among those about as faithful as the most faithful."""
    scales = activation_scales(fp32, inputs)
    few = frames[:8]
    reference = _scores(_draft(about, {model_file("fp32"): fp32.SerializeToString()}, request), "fp32", few)[0]
    trials = []
    for plan in tracked(PLANS, len(PLANS), "INT8 forms", "tried"):
        model = quantize(fp32, scales, plan).SerializeToString()
        scores, _, latency = _scores(_draft(about, {model_file("int8"): model}, request), "int8", few)
        shift = float(np.mean(np.abs(np.subtract(scores, reference))))
        trials.append((latency, shift, plan, model))
    bound = SLACK * min(shift for _, shift, _, _ in trials)
    latency, shift, plan, model = min((t for t in trials if t[1] <= bound), key=lambda t: t[0])
    say(f"INT8: {plan}; scores move by {shift:.4f} on average")
    table = [
        {"plan": str(p), "latency_ms_median": round(ms, 3), "score_shift_mean": round(s, 6), "chosen": p is plan}
        for ms, s, p, _ in trials
    ]
    return model, plan, table


def _scores(
    bundle: Bundle, precision: Precision, frames: list[Frame]
) -> tuple[list[float], list[NDArray[np.float32]], float]:
    """Scores, maps and the median latency in milliseconds."""
    engine: Engine = OpenVinoEngine(bundle, precision)
    results = [(a.score, a.values.copy()) for a in map(engine.infer, frames)]
    seconds = []
    for i in range(TIMED_RUNS):
        started = time.perf_counter()
        engine.infer(frames[i % len(frames)])
        seconds.append(time.perf_counter() - started)
    return [s for s, _ in results], [m for _, m in results], float(np.median(seconds)) * 1000


def _measure(bundle: Bundle, precision: Precision, frames: list[Frame]) -> _Measured:
    scores, maps, latency = _scores(bundle, precision, frames)
    return _Measured(scores, maps, float(np.quantile(np.stack(maps), 0.999)), latency)


def _defects(bundle: Bundle, folder: Path, thresholds: dict[str, dict[str, float]]) -> dict[str, Any]:
    if not folder.is_dir() or not list_images(folder):
        raise DataSetError(f"--defects {folder}: no such folder, or it holds no images")
    frames = [read_image(path) for path in list_images(folder)]
    found = {}
    for precision in bundle.manifest.precisions:
        scores = _scores(bundle, precision, frames)[0]
        rejected = sum(score > thresholds[precision]["image"] for score in scores)
        found[precision] = {"images": len(scores), "rejected": rejected, "scores": [round(s, 6) for s in scores]}
    return found

