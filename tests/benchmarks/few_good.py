"""Verdicts from few good pictures: what a memory and its threshold are worth from 20, 40 and 80 of them, and from all.

    python tests/benchmarks/few_good.py DATA --category BSData --category MTD

Of each number several draws are made from the good training pictures. Each is trained by `edge-train fit --model
memory` with its defaults, and the test split is scored in FP32 with PyTorch. Two ways to find the threshold stand side
by side: cross-fitted scores, as `calibrate bundle` takes them, and those of a tenth of the pictures drawn at random and
held out, as before. The rate asked for is the default of as many scores. `false_rejects` and `found` are at the
threshold; `as_many` is what the test's own good parts would allow at the same number of false rejects. `surely_twice`
says whether the false rejects are more than twice the rate asked for, by the exact binomial test at 5 %. A test split
may show good parts that the memory learned from, under another exposure; `new`, `new_rejected` and `new_as_many` are
the same figures without those, which `edge-train fit` would find to be nearly the same. `held_50` and `new_50` are the
medians of the scores that set the threshold and of the new good parts, `held_90` and `new_90` what a tenth of them
exceeds. A test split may also show other kinds of good parts than the training pictures do, and no threshold can know
of those; `rest` counts the good training pictures that were not drawn, without near duplicates of those that were, and
`rest_rejected` and `rest_twice` are the same figures for them. The rows go to results/few_good.csv; `--table` prints
them by number of pictures as Markdown instead.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from scipy import stats
from table import RESULTS, Row, program, store

from edge_inspect.calibrate.thresholds.threshold import resolvable_rate, tail_threshold
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import read_image
from edge_inspect.train import checkpoint
from edge_inspect.train.datasets import Category
from edge_inspect.train.evaluation import torch_predictor
from edge_inspect.train.groups import near_duplicates
from edge_inspect.train.metrics import auroc

TABLE = RESULTS / "few_good.csv"
KEY = ("data", "pictures", "draw", "threshold")
ALL = 0


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--category", action="append", default=[])
    parser.add_argument("--pictures", type=int, action="append", help=f"default: 20, 40, 80 and {ALL}, which is all")
    parser.add_argument("--draws", type=int, default=5, help="of each number (default 5); of all, seeds")
    parser.add_argument("--without", action="append", default=[], metavar="FILE", help="leave this good picture out")
    parser.add_argument("--only-cross-fitted", action="store_true", help="leave out the tenth drawn at random")
    parser.add_argument("--table", action="store_true", help="print results/few_good.csv as Markdown")
    arguments = parser.parse_args()
    if arguments.table:
        print_table()
    for name in arguments.category:
        category = Category.open(arguments.data, name)
        for pictures in arguments.pictures or (20, 40, 80, ALL):
            for draw in range(arguments.draws):
                given = category, name, pictures, draw, arguments.without
                for row in measure(*given, beside=not arguments.only_cross_fitted):
                    store(TABLE, row, KEY)
                    print(row, flush=True)


def measure(category: Category, name: str, pictures: int, draw: int, without: list[str], *, beside: bool) -> list[Row]:
    """Trains on one draw and gives its row; `beside` it a second one, of a threshold from a tenth at random."""
    good = [path for path in category.train_images() if path.name not in without]
    rng = np.random.default_rng([draw, pictures])
    chosen = good if pictures == ALL else [good[i] for i in sorted(rng.permutation(len(good))[:pictures])]
    about: Row = {"data": name, "pictures": pictures or len(good), "draw": draw}
    with tempfile.TemporaryDirectory() as folder:
        data, held = Path(folder, "data", "train", "good"), Path(folder, "held")
        data.mkdir(parents=True)
        held.mkdir()
        Path(folder, "data", "test", "good").mkdir(parents=True)
        for path in chosen:
            shutil.copy(path, data)
        options = ["--data", str(data.parents[1]), "--model", "memory", "--seed", str(draw)]
        program("edge_inspect.train.cli", "fit", *options, "--out", f"{folder}/all")
        fit = checkpoint.load(Path(folder, "all"))[0].fit
        test = category.test_images()
        paths, good_parts = [image.path for image in test], np.array([image.good for image in test])
        seen = np.zeros(len(test), bool)
        seen[good_parts] = _near_duplicates(fit, chosen, [image.path for image in test if image.good])
        drawn = set(chosen)
        rest = [path for path in good if path not in drawn]
        rest = [path for path, near in zip(rest, _near_duplicates(fit, chosen, rest), strict=True) if not near]
        fitted, scores = scores_of(Path(folder, "all"), [], [*paths, *rest])
        rows = [{"threshold": "cross-fitted", **_verdicts(fitted, scores, good_parts, seen)}]
        if not beside:
            return [{**about, **row} for row in rows]
        aside = [chosen[i] for i in rng.permutation(len(chosen))[: max(1, round(len(chosen) / 10))]]
        for path in aside:
            shutil.move(data / path.name, held)
        program("edge_inspect.train.cli", "fit", *options, "--hold-out", "0", "--out", f"{folder}/less")
        unseen, scores = scores_of(Path(folder, "less"), sorted(held.iterdir()), [*paths, *rest])
        rows.append({"threshold": "a tenth at random", **_verdicts(unseen, scores, good_parts, seen)})
    return [{**about, **row} for row in rows]


def scores_of(run: Path, held: list[Path], judged: list[Path]) -> tuple[list[float], np.ndarray]:
    """The scores that set the threshold, of `held` or cross-fitted; those of the pictures that are judged."""
    about, model = checkpoint.load(run)
    predict = torch_predictor(model, torch.device("cpu"), about.fit)

    def score(path: Path) -> float:
        fitted, placement = about.fit.apply(read_image(path))
        x0, y0, x1, y1 = placement.valid
        return float(predict(fitted)[y0:y1, x0:x1].max())

    return [score(path) for path in held] or about.scores, np.array([score(path) for path in judged])


def _near_duplicates(fit: Fit, learned: list[Path], others: list[Path]) -> np.ndarray:
    """Which of the other pictures are nearly the same as one that was learned from."""
    paths = [*learned, *others]
    groups = near_duplicates(np.stack([fit.apply(read_image(path))[0] for path in paths]), len(paths)).of
    known = set(groups[: len(learned)])
    return np.array([group in known for group in groups[len(learned) :]], bool)


def _verdicts(known: list[float], scores: np.ndarray, good: np.ndarray, seen: np.ndarray) -> Row:
    rate = resolvable_rate(len(known))
    fit = tail_threshold(known, rate)
    scores, rest = np.split(scores, [len(good)])
    rejected, rest_rejected = scores > fit.threshold, int((rest > fit.threshold).sum())
    count, total = int(rejected[good].sum()), int(good.sum())
    new = good & ~seen
    sides = (("held", np.asarray(known)), ("new", scores[new]))

    def as_many(among: np.ndarray) -> int:
        """How many defects are above the threshold that rejects as many of these good parts."""
        ranked = [*np.sort(scores[among])[::-1], -np.inf]
        return int((scores[~good] > ranked[int(rejected[among].sum())]).sum())

    return {
        "scores": len(known),
        "asked_rate": rate,
        "false_rejects": count,
        "good": total,
        "promised_low": round(fit.rates_on(total)[0], 4),
        "promised_high": round(fit.rates_on(total)[1], 4),
        "surely_twice": _surely_above(2 * rate, count, total),
        "found": int(rejected[~good].sum()),
        "as_many": as_many(good),
        "defects": int((~good).sum()),
        "image_auroc": round(float(auroc(scores, ~good)), 4),
        "new": int(new.sum()),
        "new_rejected": int(rejected[new].sum()),
        "new_as_many": as_many(new),
        "rest": len(rest),
        "rest_rejected": rest_rejected,
        "rest_twice": _surely_above(2 * rate, rest_rejected, len(rest)),
        **{f"{which}_{q}": round(float(np.quantile(these, q / 100)), 3) for which, these in sides for q in (50, 90)},
    }


def _surely_above(rate: float, count: int, total: int) -> int:
    """1 if so many of so many are more than this share by the exact binomial test at 5 %, else 0."""
    return int(total > 0 and stats.binomtest(count, total, rate, "greater").pvalue < 0.05)


def print_table() -> None:
    """As Markdown: a line for each data set, number of pictures and way to find the threshold."""
    groups: dict[tuple[str, str, int], list[dict[str, float]]] = defaultdict(list)
    with TABLE.open(newline="") as file:
        for row in csv.DictReader(file):
            numbers = {name: float(value) for name, value in row.items() if value and name not in ("data", "threshold")}
            groups[row["threshold"], row["data"], int(row["pictures"])].append(numbers)
    print(
        "| threshold from | parts | pictures | draws | asked | good parts rejected | as promised | surely over twice "
        "| of the rest | surely over twice | defects found | as many could be | image AUROC |"
    )
    print("|---" * 13 + "|")
    for (threshold, data, pictures), rows in sorted(groups.items()):
        rejected = [row["false_rejects"] / row["good"] for row in rows]
        rest = [row["rest_rejected"] / row["rest"] for row in rows if row.get("rest")]
        promised = sum(
            row["promised_low"] <= round(share, 4) <= row["promised_high"]
            for row, share in zip(rows, rejected, strict=True)
        )
        cells = [
            threshold,
            data,
            str(pictures),
            str(len(rows)),
            f"{rows[0]['asked_rate']:.0%}",
            f"{mean(rejected):.1%} ({min(rejected):.1%} to {max(rejected):.1%})",
            f"{promised} of {len(rows)}",
            f"{sum(row['surely_twice'] for row in rows):.0f}",
            f"{mean(rest):.1%}" if rest else "",
            f"{sum(row['rest_twice'] for row in rows):.0f}" if rest else "",
            f"{mean(row['found'] / row['defects'] for row in rows):.2f}",
            f"{mean(row['as_many'] / row['defects'] for row in rows):.2f}",
            f"{mean(row['image_auroc'] for row in rows):.3f}",
        ]
        print("|", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
