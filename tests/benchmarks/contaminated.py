"""Defects among the good pictures: what they cost, whether doubtful.html shows them, and what removing these regains.

    python tests/benchmarks/contaminated.py DATA --category BSData --category MTD

Of a set's defects as many as a share of the good training pictures are drawn at random and put among these. A memory is
trained three times by `edge-train fit --model memory`: `clean` without them, `contaminated` with them, and `looked at`
without those of them that stand on the page doubtful.html of the second training. The rest of the test split is judged
in FP32 with PyTorch, at the threshold of the cross-fitted scores for the rate that is the default of as many. `mixed`
counts the defects among the good pictures, `learned` those of them that were not held out, `shown` those on the page,
which has both.
The rows go to results/contaminated.csv; `--table` prints them as Markdown instead.
"""

from __future__ import annotations

import argparse
import csv
import re
import shutil
import tempfile
from html import unescape
from pathlib import Path

import numpy as np
from few_good import scores_of
from table import RESULTS, Row, program, store

from edge_inspect.calibrate.thresholds.threshold import resolvable_rate, tail_threshold
from edge_inspect.edge.frame.images import pixel_digest, read_image
from edge_inspect.train import checkpoint
from edge_inspect.train.datasets import Category, TestImage
from edge_inspect.train.doubtful import PAGE
from edge_inspect.train.metrics import auroc

TABLE = RESULTS / "contaminated.csv"
KEY = ("data", "share", "seed", "pictures")
MIXED = "-mixed-in-"


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--category", action="append", default=[])
    parser.add_argument("--share", type=float, action="append", help="default: 0.02 and 0.05")
    parser.add_argument("--seed", type=int, default=0, help="of the defects that are drawn, and of the training")
    parser.add_argument("--table", action="store_true", help="print results/contaminated.csv as Markdown")
    arguments = parser.parse_args()
    if arguments.table:
        print_table()
    for name in arguments.category:
        for share in arguments.share or (0.02, 0.05):
            for row in measure(Category.open(arguments.data, name), name, share, arguments.seed):
                store(TABLE, row, KEY)
                print(row, flush=True)


def measure(category: Category, name: str, share: float, seed: int) -> list[Row]:
    """Trains with clean pictures, with defects among them, and without those that the page shows."""
    good, test = category.train_images(), category.test_images()
    defects = [image for image in test if not image.good]
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(defects))[: round(share * len(good))].tolist()
    after = [good[i].stem for i in rng.permutation(len(good))[: len(drawn)]]  # scattered over the files' order
    mixed = {f"{stem}{MIXED}{i}{defects[i].path.suffix}": defects[i].path for stem, i in zip(after, drawn, strict=True)}
    judged = [image for image in test if image.path not in set(mixed.values())]
    about: Row = {"data": name, "share": share, "seed": seed}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        train = Path(folder, "data", "train", "good")
        shutil.copytree(good[0].parent, train)
        Path(folder, "data", "test", "good").mkdir(parents=True)

        def row(pictures: str) -> set[str]:
            run = Path(folder, pictures)
            program(
                "edge_inspect.train.cli", "fit", "--data", str(train.parents[1]), "--model", "memory", "--seed",
                str(seed), "--out", str(run),
            )  # fmt: skip
            trained = checkpoint.load(run)[0]
            inside = {pixel_digest(read_image(path)): path.name for path in train.glob(f"*{MIXED}*")}
            learned = {inside[digest] for digest in trained.trained_on if digest in inside}
            shown = set(inside.values()) & set(re.findall(r"<b>(.+?)</b>", unescape((run / PAGE).read_text())))
            counts = {"mixed": len(inside), "learned": len(learned), "shown": len(shown)}
            rows.append({**about, "pictures": pictures, **counts, **_verdicts(run, judged)})
            return shown

        row("clean")
        for file, path in mixed.items():
            shutil.copy(path, train / file)
        for file in row("contaminated"):
            (train / file).unlink()
        row("looked at")
    return rows


def _verdicts(run: Path, judged: list[TestImage]) -> Row:
    known, scores = scores_of(run, [], [image.path for image in judged])
    rate, bad = resolvable_rate(len(known)), np.array([not image.good for image in judged])
    rejected = scores > tail_threshold(known, rate).threshold
    return {
        "asked_rate": rate,
        "false_rejects": int(rejected[~bad].sum()),
        "good": int((~bad).sum()),
        "found": int(rejected[bad].sum()),
        "defects": int(bad.sum()),
        "image_auroc": round(float(auroc(scores, bad)), 4),
    }


def print_table() -> None:
    """As Markdown: a line for each training."""
    print("| parts | good pictures | defects among them | learned | shown | good rejected | found | image AUROC |")
    print("|---" * 8 + "|")
    with TABLE.open(newline="") as file:
        for row in csv.DictReader(file):
            rejected, found = f"{row['false_rejects']} of {row['good']}", f"{row['found']} of {row['defects']}"
            cells = [row["data"], row["pictures"], row["mixed"], row["learned"], row["shown"], rejected, found]
            print("|", " | ".join([*cells, row["image_auroc"]]), "|")


if __name__ == "__main__":
    main()
