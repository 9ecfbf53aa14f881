"""What each precision of a bundle is worth on a test split with real defects, through the engine of the box.

    python tests/benchmarks/precision.py DATA RUN [RUN ...] --work /tmp/bundles

Each RUN, a finished `edge-train fit` of a category in DATA, is calibrated with 100 images (a bundle in --work is taken
as it is), and the test split inspected by OpenVINO in every precision. FP32 also as OpenVINO runs it by its own
default, which is bfloat16 where the processor has it (`own default`). The rows go to results/precision.csv, in the
place of those of the same data, model, precision and engine. No test image chooses anything.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import openvino as ov
from table import RESULTS, Row, processor, program, store

from edge.bundle import Bundle, open_bundle
from edge.engines.openvino import CORE, OpenVinoEngine, read_onnx, with_head
from edge.images import read_image
from edge.messages import Precision
from train import checkpoint
from train.datasets import Category, TestImage
from train.evaluation import evaluate

TABLE = RESULTS / "precision.csv"
KEY = ("data", "model", "precision", "engine")
RUNS = 50


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--work", type=Path, default=Path("out/precision"), help="bundles are kept here")
    parser.add_argument("--table", type=Path, default=TABLE, help=f"default {TABLE}")
    arguments = parser.parse_args()
    for run in arguments.runs:
        about, _ = checkpoint.load(run)
        bundle = calibrated(run, arguments.data / about.category, arguments.work / f"{run.name}-bundle")
        images = Category.open(arguments.data, about.category).test_images()
        names = {"data": about.category, "model": f"{about.model}-{about.teacher}"}
        for row in rows(bundle, images):
            store(arguments.table, row | names, KEY)
            print(row | names)


def calibrated(run: Path, data: Path, path: Path) -> Bundle:
    """The bundle of a run, made where it is not there yet."""
    if not path.exists():
        options = ["--good", str(data / "train" / "good"), "--calibration-images", "100", "--out", str(path)]
        program("calibrate.cli", "bundle", str(run), *options)
    return open_bundle(path)


def rows(bundle: Bundle, images: list[TestImage]) -> list[Row]:
    """A row for each precision, and one for the time FP32 takes as OpenVINO runs it by itself."""
    report = json.loads(bundle.file("report/calibration.json"))
    frame = read_image(images[0].path)
    default = _milliseconds(own_default(bundle), [bundle.fit.cut(bundle.fit.apply(frame)[0])[:1]])
    found = []
    for precision in bundle.manifest.precisions:
        engine = OpenVinoEngine(bundle, precision)
        metrics = evaluate(lambda fitted, run=engine: run.infer_fitted(fitted).copy(), images, bundle.fit).metrics()
        row = _row(bundle, precision, "openvino", _milliseconds(engine.infer, [frame]))
        row |= {"image_auroc": round(metrics["image_auroc"], 4), "aupro": round(metrics["aupro_0.3"], 4)}
        row |= {"calibration": report["int8_chosen"]["recipe"] if precision == "int8" else ""}
        found.append(row)
    unknown = dict.fromkeys(("image_auroc", "aupro", "threshold"), "")  # only its time was taken
    return [*found, found[-1] | unknown | {"engine": "openvino, own default, network alone", "latency_ms": default}]


def own_default(bundle: Bundle) -> ov.CompiledModel:
    """FP32 with the head, as OpenVINO compiles it where nobody names a precision."""
    model = with_head(read_onnx(bundle, "fp32"), bundle.manifest)
    return CORE.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})


def _row(bundle: Bundle, precision: Precision, engine: str, latency_ms: float) -> Row:
    return {
        "data": "",
        "model": "",
        "precision": precision,
        "engine": engine,
        "image_auroc": "",
        "aupro": "",
        "threshold": round(bundle.manifest.decision.thresholds[precision].image, 4),
        "latency_ms": latency_ms,
        "size_mb": round(bundle.manifest.files[f"model.{precision}.onnx"].bytes / 1e6, 2),
        "calibration": "",
        "preferred": bundle.manifest.preferred,
        "processor": processor(),
    }


def _milliseconds(infer: object, frames: list[np.ndarray]) -> float:
    """The median of a frame."""
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        infer(frames[0])
        seconds.append(time.perf_counter() - started)
    return round(float(np.median(seconds)) * 1000, 2)


if __name__ == "__main__":
    main()
