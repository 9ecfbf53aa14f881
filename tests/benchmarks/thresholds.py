"""Whether thresholds from good images keep their promise: the rate measured on good images never used before lies
inside the interval that was stated for so many of them.

    python tests/benchmarks/thresholds.py --synthetic
    python tests/benchmarks/thresholds.py RUN [RUN ...] --data DIR [--keep SCORES.json]
    python tests/benchmarks/thresholds.py SCORES.json [...]

Good scores are split at random, many times: one half sets the threshold, the other was never used and is counted. A RUN
is the folder of a checkpoint; its scores are those of every good image of its category in DIR that it was not trained
on, held out or of the test split, by the trained model in float32. SCORES.json is an object of lists of good scores by
name, as --keep writes it. --synthetic draws new scores of known distributions for each split instead; there it is also
told how often the true rate lies inside the interval of the true rate, and the true quantile inside the threshold's.

The rows go to results/thresholds.csv, replacing those of the same scores and rate. Exit status 1 where fewer than nine
in ten splits lie inside.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from table import RESULTS, Row, store

from edge_inspect.calibrate.thresholds.threshold import tail_threshold
from edge_inspect.edge.frame.images import pixel_digest, read_image
from edge_inspect.train import checkpoint
from edge_inspect.train.datasets import Category
from edge_inspect.train.evaluation import torch_predictor
from edge_inspect.train.progress import tracked

TABLE = RESULTS / "thresholds.csv"
KEY = ("scores", "fitted", "rate")
RATES = (0.05, 0.02)
SIZES = (25, 50, 100, 200, 400)
PROMISED = 0.9

Floats = NDArray[np.float64]


class Bimodal:
    """Good parts of two kinds: one in 14 scores 4 standard deviations higher."""

    share, apart, spread = 1 / 14, 4.0, 0.5

    def rvs(self, size: int, random_state: np.random.Generator) -> Floats:
        """Random scores."""
        second = random_state.random(size) < self.share
        normal = random_state.normal(size=size)
        return np.where(second, self.apart + self.spread * normal, normal)

    def sf(self, score: float) -> float:
        """The true share above a score."""
        second = stats.norm.sf(score, self.apart, self.spread)
        return float((1 - self.share) * stats.norm.sf(score) + self.share * second)


DISTRIBUTIONS = {
    "normal": stats.norm(),
    "gamma": stats.gamma(2),
    "lognormal": stats.lognorm(0.8),
    "bimodal": Bimodal(),
    "uniform": stats.uniform(),
    "rounded": stats.geom(0.2),
}
"""`rounded`: whole numbers, so most scores are tied."""


def main() -> None:
    """Writes a row for each set of scores and rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="*", metavar="RUN|SCORES.json")
    parser.add_argument("--data", type=Path, help="folder of the categories the runs were trained on")
    parser.add_argument("--keep", type=Path, help="where the runs' scores are written, to be given again")
    parser.add_argument("--synthetic", action="store_true", help="known distributions instead")
    parser.add_argument("--splits", type=int, default=200, help="default 200")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.synthetic:
        rows = [
            synthetic(name, size, rate, arguments.splits, arguments.seed)
            for name in DISTRIBUTIONS
            for size in SIZES
            for rate in RATES
        ]
    else:
        found = {
            name: scores for path in arguments.sources for name, scores in good_scores(path, arguments.data).items()
        }
        if arguments.keep:
            arguments.keep.write_text(json.dumps({name: scores.tolist() for name, scores in found.items()}))
        rows = [real(name, s, rate, arguments.splits, arguments.seed) for name, s in found.items() for rate in RATES]
    for row in rows:
        store(TABLE, row, KEY)
        print(*row.values(), sep="\t", flush=True)
    broken = [row for row in rows if float(str(row["inside"])) < PROMISED]
    if broken:
        sys.exit(
            f"fewer than nine in ten splits inside: {', '.join(f'{row[KEY[0]]} at {row[KEY[2]]}' for row in broken)}"
        )


def good_scores(source: Path, data: Path | None, tests: bool = True) -> dict[str, Floats]:
    """Good scores by name: of a file of them, or of a run, whose name is that of its folder.

    Those of a run are of every good picture that it was not trained on; without `tests` none is of the test split.
    """
    if source.is_file():
        return {name: np.array(scores) for name, scores in json.loads(source.read_text()).items()}
    if data is None:
        sys.exit("a run needs --data")
    about, model = checkpoint.load(source)
    category = Category.open(data, about.category)
    good = [image.path for image in category.test_images() if image.good] if tests else []
    trained = set(about.trained_on)
    unseen = [
        p
        for p in {*category.train_images(), *category.held_out_images(), *good}
        if pixel_digest(read_image(p, about.fit.bits)) not in trained
    ]
    predict = torch_predictor(model, torch.device("cpu"), about.fit)
    scores = []
    for path in tracked(sorted(unseen), len(unseen), source.name, "images"):
        fitted, placement = about.fit.apply(read_image(path, about.fit.bits))
        x0, y0, x1, y1 = placement.valid
        scores.append(float(predict(fitted)[y0:y1, x0:x1].max()))
    return {source.name: np.array(scores)}


def real(name: str, scores: Floats, rate: float, splits: int, seed: int) -> Row:
    """One row: random halves of the same scores."""
    random = np.random.default_rng(seed)
    return measure(name, lambda: random.permutation(scores), len(scores) // 2, rate, splits)


def synthetic(name: str, size: int, rate: float, splits: int, seed: int) -> Row:
    """One row: new scores each time, as many to count as to fit."""
    random, distribution = np.random.default_rng(seed), DISTRIBUTIONS[name]

    def draw() -> Floats:
        return np.asarray(distribution.rvs(size=2 * size, random_state=random), np.float64)

    return measure(name, draw, size, rate, splits, distribution.sf)


def measure(
    name: str,
    draw: Callable[[], Floats],
    fitted: int,
    rate: float,
    splits: int,
    above: Callable[[float], float] | None = None,
) -> Row:
    """Splits what is drawn; `above` is the true share above a score, where it is known."""
    measured, widths, inside, true_inside, threshold_inside = [], [], [], [], []
    for _ in range(splits):
        scores = draw()
        fit, fresh = tail_threshold(scores[:fitted].tolist(), rate), scores[fitted:]
        measured.append(float(np.mean(fresh > fit.threshold)))
        low, high = fit.rates_on(len(fresh))
        widths.append(high - low)
        inside.append(low <= measured[-1] <= high)
        if above:
            true_inside.append(fit.rate_low <= above(fit.threshold) <= fit.rate_high)
            at_least = above(float(np.nextafter(fit.threshold_low, -np.inf)))  # not the same where scores are tied
            threshold_inside.append(above(fit.threshold_high) <= rate <= at_least)
    return {
        "scores": name,
        "fitted": fitted,
        "rate": rate,
        "fresh": len(fresh),
        "splits": splits,
        "inside": round(float(np.mean(inside)), 3),
        "rate_measured_mean": round(float(np.mean(measured)), 4),
        "interval_width_mean": round(float(np.mean(widths)), 4),
        "true_rate_inside": round(float(np.mean(true_inside)), 3) if above else "",
        "true_threshold_inside": round(float(np.mean(threshold_inside)), 3) if above else "",
    }


if __name__ == "__main__":
    main()
