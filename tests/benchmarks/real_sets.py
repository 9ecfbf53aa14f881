"""The whole chain on real inspection images: train, calibrate, and judge the test split with the engine of the box.

    python tests/benchmarks/real_sets.py DATA --category mvtec_transistor_256 --category BSData \\
        --teacher resnet18 --teacher-weights resnet18.pth --epochs 20 --work runs

Each category is trained (a finished run in --work is taken as it is), calibrated, and its test split inspected by the
OpenVINO engine in FP32 and INT8. The rows go to results/real_sets.csv, replacing those of the same data, teacher and
precision. Metrics: train/metrics.py, in the network's plane; the last epoch; no test image chooses anything.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from table import RESULTS, processor, program, store

from edge.bundle import open_bundle
from edge.engines import open_engine
from edge.images import read_image
from train import checkpoint
from train.datasets import Category
from train.evaluation import evaluate

TABLE = RESULTS / "real_sets.csv"
KEY = ("data", "teacher", "fit", "epochs", "seed", "precision")
COLUMNS = (
    *KEY, "image_auroc", "pixel_auroc", "pixel_ap", "aupro_0.3", "pro_per_image", "image_f1_max", "threshold",
    "false_rejects", "good", "escapes", "defective", "latency_ms", "model_mb", "train_seconds", "processor",
)  # fmt: skip


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--category", action="append", required=True)
    parser.add_argument("--teacher", default="embedded")
    parser.add_argument("--teacher-weights", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=111)
    parser.add_argument("--fit", default="stretch")
    parser.add_argument(
        "--work", type=Path, default=Path("out/real_sets"), help="checkpoints and bundles are kept here"
    )
    arguments = parser.parse_args()
    for category in arguments.category:
        for row in measure(arguments, category):
            store(TABLE, row, KEY)
            print(
                {name: row[name] for name in ("data", "teacher", "precision", "image_auroc", "aupro_0.3", "latency_ms")}
            )


def measure(arguments: argparse.Namespace, category: str) -> list[dict[str, object]]:
    """Trains and calibrates one category where that is not done yet, and gives a row per precision."""
    run = arguments.work / f"{arguments.teacher}-{category}-{arguments.fit}"
    bundle_path = arguments.work / f"{run.name}-bundle"
    data = ["--data", str(arguments.data), "--category", category]
    if not (run / checkpoint.DESCRIPTION).exists():
        weights = ["--teacher-weights", str(arguments.teacher_weights)] if arguments.teacher_weights else []
        options = ["--teacher", arguments.teacher, "--epochs", str(arguments.epochs), "--seed", str(arguments.seed)]
        program("train.cli", "fit", *data, *options, *weights, "--fit", arguments.fit, "--out", str(run))
    if not bundle_path.exists():
        good = str(arguments.data / category / "train" / "good")
        program("calibrate.cli", "bundle", str(run), "--good", good, "--out", str(bundle_path))
    about, _ = checkpoint.load(run)
    images = Category.open(arguments.data, category).test_images()
    bundle = open_bundle(bundle_path)
    rows = []
    for precision in bundle.manifest.precisions:
        engine = open_engine(bundle, precision)
        evaluation = evaluate(lambda fitted, engine=engine: engine.infer_fitted(fitted).copy(), images, bundle.fit)
        threshold = bundle.manifest.decision.thresholds[precision].image
        rejected = evaluation.scores > threshold
        good = np.array([image.good for image in images])
        rows.append(
            {
                "data": category,
                "teacher": about.teacher,
                "fit": about.fit.mode,
                "epochs": about.epochs,
                "seed": about.seed,
                "precision": precision,
                **{name: round(value, 4) for name, value in evaluation.metrics().items() if name in COLUMNS},
                "threshold": round(threshold, 4),
                "false_rejects": int((rejected & good).sum()),
                "good": int(good.sum()),
                "escapes": int((~rejected & ~good).sum()),
                "defective": int((~good).sum()),
                "latency_ms": latency(engine, read_image(images[0].path)),
                "model_mb": round(bundle.manifest.files[f"model.{precision}.onnx"].bytes / 1e6, 1),
                "train_seconds": about.training["seconds"],
                "processor": processor(),
            }
        )
    return rows


def latency(engine: object, frame: np.ndarray, runs: int = 50) -> float:
    """The median milliseconds of a frame."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        engine.infer(frame)
        seconds.append(time.perf_counter() - started)
    return round(float(np.median(seconds)) * 1000, 2)


if __name__ == "__main__":
    main()
