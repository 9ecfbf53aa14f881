"""What each precision of a bundle is worth on a test split with real defects, through the engine of the box.

    python tests/benchmarks/precision.py DATA RUN [RUN ...] --work /tmp/bundles

Each RUN, a finished `edge-train fit` of a category in DATA, is calibrated with 100 images (a bundle in --work is taken
as it is), and the test split inspected by OpenVINO in every precision. FP32 also as OpenVINO runs it by its own
default, which is bfloat16 where the processor has it (`own default`). `latency_ms` is from the frame in memory to the
map, `engine_ms` what of that is OpenVINO's (the frame was fitted before); all engines in turns. The rows go to
results/precision.csv, in the place of those of the same data, model, precision, engine and processor. No test image
chooses anything.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from table import RESULTS, Row, processor, program, store

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.bundle.manifest import model_file
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.frame.images import Frame, read_image
from edge_inspect.train import checkpoint
from edge_inspect.train.datasets import Category, TestImage
from edge_inspect.train.evaluation import evaluate

TABLE = RESULTS / "precision.csv"
KEY = ("data", "model", "precision", "engine", "processor")
TURNS, WARM, FRAMES = 5, 3, 20
OWN_DEFAULT = "openvino, own default"

Key = tuple[Precision, str]


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
        names = {"data": about.category, "model": f"{about.model}-{about.teacher}", "seed": about.seed}
        for row in rows(bundle, images):
            store(arguments.table, row | names, KEY)
            print(row | names)


def calibrated(run: Path, data: Path, path: Path) -> Bundle:
    """The bundle of a run, made where it is not there yet."""
    if not path.exists():
        options = ["--good", str(data / "train" / "good"), "--calibration-images", "100", "--out", str(path)]
        program("edge_inspect.calibrate.cli", "bundle", str(run), *options)
    return open_bundle(path)


def rows(bundle: Bundle, images: list[TestImage]) -> list[Row]:
    """A row for each precision, and one for FP32 as OpenVINO runs it by itself."""
    report = json.loads(bundle.file("report/calibration.json"))
    engines = {(precision, "openvino"): OpenVinoEngine(bundle, precision) for precision in bundle.manifest.precisions}
    engines["fp32", OWN_DEFAULT] = OpenVinoEngine(bundle, "fp32", exact=False)
    times = latencies(engines, bundle, read_image(images[0].path))
    found = []
    for (precision, name), engine in engines.items():
        metrics = evaluate(lambda fitted, run=engine: run.infer_fitted(fitted).copy(), images, bundle.fit).metrics()
        row = _row(bundle, precision, name) | times[precision, name]
        row |= {"image_auroc": round(metrics["image_auroc"], 4), "aupro": round(metrics["aupro_0.3"], 4)}
        row |= {"calibration": report["int8_chosen"]["recipe"] if precision == "int8" else ""}
        found.append(row if name != OWN_DEFAULT else row | {"threshold": ""})
    return found


def latencies(engines: dict[Key, OpenVinoEngine], bundle: Bundle, frame: Frame) -> dict[Key, Row]:
    """The columns of time of each engine's row."""
    fitted, _ = bundle.fit.apply(frame)
    whole = in_turns({key: engine.infer for key, engine in engines.items()}, frame)
    alone = in_turns({key: engine.infer_fitted for key, engine in engines.items()}, fitted)
    return {key: {"latency_ms": whole[key], "engine_ms": alone[key]} for key in engines}


def in_turns(inferring: dict[Key, Callable[[Frame], object]], frame: Frame) -> dict[Key, float]:
    """The median milliseconds of a frame, of 5 turns of 20 each."""
    seconds: dict[Key, list[float]] = {key: [] for key in inferring}
    for _ in range(TURNS):
        for key, infer in inferring.items():
            for i in range(WARM + FRAMES):
                started = time.perf_counter()
                infer(frame)
                if i >= WARM:
                    seconds[key].append(time.perf_counter() - started)
    return {key: round(float(np.median(taken)) * 1000, 2) for key, taken in seconds.items()}


def _row(bundle: Bundle, precision: Precision, engine: str) -> Row:
    return {
        "data": "",
        "model": "",
        "seed": "",
        "precision": precision,
        "engine": engine,
        "image_auroc": "",
        "aupro": "",
        "threshold": round(bundle.manifest.decision.thresholds[precision].image, 4),
        "latency_ms": "",
        "engine_ms": "",
        "size_mb": round(bundle.manifest.files[model_file(precision)].bytes / 1e6, 2),
        "calibration": "",
        "preferred": bundle.manifest.preferred,
        "processor": processor(),
    }


if __name__ == "__main__":
    main()
