"""The systems over real inspection images: every metric, by data set, system, teacher, fit and seed.

    python tests/benchmarks/accuracy.py DATA --category BSData --category MTD --model rd --model aand \\
        --teacher resnet18 --teacher-weights resnet18.pth --steps 1000 --seed 111 --work runs

Each combination is trained by `edge-train fit` as its user would (a finished run in --work is taken as it is, an
interrupted one goes on) and measured by `edge-train evaluate` on the test split: the last step, in float32; no test
image chooses anything. `flaws_image_auroc` and `flaws_aupro` are of synthetic flaws on the held-out good images
(`edge-train evaluate --synthetic`), by which systems and settings may be chosen. The rows go to
results/accuracy.csv, replacing those of the same combination.
Metrics: train/metrics.py, in the plane of the fit's canvas. `--table` prints the means instead.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
from collections import defaultdict
from pathlib import Path
from statistics import mean

from table import RESULTS, processor, program, store

from train import checkpoint

TABLE = RESULTS / "accuracy.csv"
KEY = ("data", "model", "teacher", "fit", "steps", "recipe", "seed")
METRICS = {
    "image_auroc": "image_auroc",
    "pixel_auroc": "pixel_auroc",
    "pixel_ap": "pixel_ap",
    "aupro": "aupro_0.3",
    "pro_per_image": "pro_per_image",
    "f1_max": "image_f1_max",
}
"""The table's columns, and what `edge-train evaluate` calls them."""


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--category", action="append", default=[])
    parser.add_argument("--model", action="append")
    parser.add_argument("--teacher", default="embedded")
    parser.add_argument("--teacher-weights", type=Path)
    parser.add_argument("--fit", default="stretch", help="with all its options, such as 'tile --tiles 3x1'")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--recipe", default="decay", help="paper: the plain recipe of each system's paper")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--work", type=Path, default=Path("out/accuracy"), help="checkpoints are kept here")
    parser.add_argument("--table", action="store_true", help="print the means of results/accuracy.csv as Markdown")
    arguments = parser.parse_args()
    if arguments.table:
        print_table()
        return
    for category, model, seed in itertools.product(
        arguments.category, arguments.model or ["rd"], arguments.seed or [111]
    ):
        row = measure(arguments, category, model, seed)
        store(TABLE, row, KEY)
        print(row)


def measure(arguments: argparse.Namespace, category: str, model: str, seed: int) -> dict[str, object]:
    """Trains one combination where that is not done yet, and gives its row."""
    fit = arguments.fit.replace("--", "").replace(" ", "-")
    run = arguments.work / f"{model}-{arguments.teacher}-{category}-{fit}-{arguments.steps}-{arguments.recipe}-{seed}"
    data = ["--data", str(arguments.data), "--category", category]
    if not (run / checkpoint.DESCRIPTION).exists():
        weights = ["--teacher-weights", str(arguments.teacher_weights)] if arguments.teacher_weights else []
        options = [
            "--model",
            model,
            "--teacher",
            arguments.teacher,
            "--fit",
            *arguments.fit.split(),
        ]
        options += [
            "--steps",
            str(arguments.steps),
            "--recipe",
            arguments.recipe,
            "--seed",
            str(seed),
            "--out",
            str(run),
        ]
        options += ["--memory", "1000" if model == "memory" else "off"]  # students alone; verdicts.py has the default
        program("train.cli", "fit", *data, *options, *weights)
    found = {}
    for name, options in (("test", []), ("synthetic", ["--synthetic"])):
        target = run / f"{name}.json"
        if not target.exists():
            program("train.cli", "evaluate", str(run), *data, *options, "--json", str(target))
        found[name] = json.loads(target.read_text())
    about, _ = checkpoint.load(run)
    return {
        "data": category,
        "model": about.model,
        "teacher": about.teacher,
        "fit": fit,
        "steps": about.steps,
        "recipe": about.training["recipe"],
        "seed": about.seed,
        **{column: round(found["test"][name], 4) for column, name in METRICS.items()},
        "flaws_image_auroc": round(found["synthetic"]["image_auroc"], 4),
        "flaws_aupro": round(found["synthetic"]["aupro_0.3"], 4),
        "train_seconds": about.training["seconds"],
        "peak_mb": about.training["peak_mb"],
        "device": processor() if about.training["device"] == "cpu" else about.training["device"],
    }


def print_table() -> None:
    """As Markdown: a line for data, system, teacher and fit; means over seeds, their number beside."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    with TABLE.open(newline="") as file:
        for row in csv.DictReader(file):
            groups[row["data"], row["teacher"], row["fit"], row["steps"], row["recipe"], row["model"]].append(row)
    columns = [name for name in METRICS if name != "f1_max"]
    print("| data | teacher | fit | steps | recipe | system | seeds |", " | ".join(columns), "|")
    print("|---" * (7 + len(columns)) + "|")
    for key, rows in sorted(groups.items()):
        values = (f"{mean(float(row[name]) for row in rows):.3f}" for name in columns)
        print("|", " | ".join([*key, str(len(rows)), *values]), "|")


if __name__ == "__main__":
    main()
