"""What a bundle says of real parts at the threshold that ships: good parts rejected, defects found.

    python tests/benchmarks/verdicts.py DATA --category BSData --category MTD --work out/verdicts

Each category is trained by `edge-train fit` with its defaults (and the options given), made into a bundle by `calibrate
bundle` with its defaults from the training pictures alone, and judged as a station would judge it: the precision that
the bundle prefers, its own threshold. No test picture decides anything. Beside that stands the ranking: image AUROC,
and the share of defects found at the threshold that 1 % and 5 % of the test's own good parts exceed. The rows go to
results/verdicts.csv. A finished run or bundle in --work is taken as it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from table import RESULTS, processor, program, store

from edge.bundle import Bundle, open_bundle
from edge.engines import open_checked_engine
from edge.images import read_image
from train import checkpoint
from train.datasets import Category
from train.metrics import auroc

TABLE = RESULTS / "verdicts.csv"
KEY = ("data", "options", "steps", "seed")


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--category", action="append", required=True)
    parser.add_argument("--options", default="", help="further options of `edge-train fit`, such as '--model memory'")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("out/verdicts"), help="runs and bundles are kept here")
    arguments = parser.parse_args()
    for category in arguments.category:
        row = measure(arguments, category)
        store(TABLE, row, KEY)
        print(row)


def measure(arguments: argparse.Namespace, category: str) -> dict[str, object]:
    """Trains and calibrates one category where that is not done yet, and gives its row."""
    name = "-".join([category, *arguments.options.replace("--", "").split(), str(arguments.seed)])
    run, bundle = arguments.work / name, arguments.work / f"{name}.bundle"
    found = Category.open(arguments.data, category)
    if not (run / checkpoint.DESCRIPTION).exists():
        options = ["--data", str(arguments.data), "--category", category, "--out", str(run), *arguments.options.split()]
        program("train.cli", "fit", *options, "--seed", str(arguments.seed))
    if not bundle.exists():
        good = found.train_images()[0].parent
        program("calibrate.cli", "bundle", str(run), "--good", str(good), "--out", str(bundle))
    opened, (about, _) = open_bundle(bundle), checkpoint.load(run)
    scores, good = judge(opened, found)
    precision = opened.manifest.preferred
    rejected = scores > opened.manifest.decision.thresholds[precision].image
    return {
        "data": category,
        "options": arguments.options,
        "steps": about.steps,
        "seed": arguments.seed,
        "teacher": about.teacher,
        "memory": about.memory or about.options.get("prototypes", 0),
        "precision": precision,
        "asked_rate": opened.manifest.decision.false_reject_rate,
        "false_rejects": int(rejected[good].sum()),
        "good": int(good.sum()),
        "found": int(rejected[~good].sum()),
        "defects": int((~good).sum()),
        "image_auroc": round(float(auroc(scores, ~good)), 4),
        "recall_at_1": round(recall(scores, good, 0.01), 4),
        "recall_at_5": round(recall(scores, good, 0.05), 4),
        "train_seconds": about.training["seconds"],
        "device": processor(),
    }


def judge(bundle: Bundle, category: Category) -> tuple[np.ndarray, np.ndarray]:
    """The score of each test picture, and whether it is good."""
    engine = open_checked_engine(bundle)
    images = category.test_images()
    scores = [engine.infer(read_image(image.path, bundle.fit.bits)).score for image in images]
    return np.array(scores), np.array([image.good for image in images])


def recall(scores: np.ndarray, good: np.ndarray, rate: float) -> float:
    """The share of defects above the score that this share of the test's own good parts exceeds."""
    falling = np.sort(scores[good])[::-1]
    return float((scores[~good] > falling[int(rate * len(falling))]).mean())


if __name__ == "__main__":
    main()
