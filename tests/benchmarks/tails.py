"""Which rule for a threshold keeps the rate that was asked for: good scores of known distributions, and real ones.

    python tests/benchmarks/tails.py
    python tests/benchmarks/tails.py RUN [RUN ...] --data DIR

A rule sets a threshold from N good scores. Without arguments the scores are drawn from known distributions, so the rate
of good parts above the threshold is known exactly. A RUN is the folder of a checkpoint; its scores are those of the
good pictures that its training held out, in float32, and no test picture is looked at: N of them set the threshold, the
others are counted. The rules:

    highest       an order statistic, and the highest score where the rate asks for less than one score beyond it
    exponential   what ships: beyond the highest score an exponential tail, of the mean excess of the highest quarter
    from fifth    the same, from the fifth highest score on instead of the highest
    pareto        from the fifth highest on a generalised Pareto tail, of the highest 15 % or 3 sqrt(N) scores

Rows for each distribution go to results/tails.csv: the mean of true rate / rate asked, and between which ratios nine in
ten of the repetitions lie. Means over the distributions are printed.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from table import RESULTS, Row, store
from thresholds import DISTRIBUTIONS, good_scores

from edge_inspect.calibrate.thresholds.threshold import exceeded_at, resolvable_rate

TABLE = RESULTS / "tails.csv"
KEY = ("scores", "fitted", "rate", "rule")
SIZES = (20, 40, 80, 100, 150, 200, 400, 1000)
BELOW = (0.01, 0.002, 0.001)
"""Rates that are set by hand, beside the default one."""
FIFTH = 5
STRAIGHT = 1e-9

Floats = NDArray[np.float64]


class Mixture:
    """Scores of parts of several sorts, each of a distribution of its own.

    Args:
        sorts: Share and distribution of each.
    """

    def __init__(self, *sorts: tuple[float, stats.rv_continuous]) -> None:
        self._shares = [share for share, _ in sorts]
        self._sorts = [distribution for _, distribution in sorts]

    def rvs(self, size: int, random_state: np.random.Generator) -> Floats:
        """Random scores."""
        drawn = np.stack([each.rvs(size=size, random_state=random_state) for each in self._sorts])
        which = random_state.choice(len(self._sorts), size, p=self._shares)
        return np.asarray(drawn[which, np.arange(size)])

    def sf(self, score: Floats) -> Floats:
        """The true share above a score."""
        return np.asarray(sum(share * each.sf(score) for share, each in zip(self._shares, self._sorts, strict=True)))


FAMILIES = {
    **{name: DISTRIBUTIONS[name] for name in ("normal", "gamma", "lognormal", "uniform")},
    "exponential": stats.expon(),
    "student 4": stats.t(4),
    "two sorts, 1 in 3": Mixture((2 / 3, stats.norm()), (1 / 3, stats.norm(3, 1))),
    "two sorts, 1 in 20": Mixture((0.95, stats.norm()), (0.05, stats.norm(4, 0.5))),
}


def levels(falling: Floats, rate: float, rank: int, scale: Floats, shape: Floats | float = 0.0) -> Floats:
    """The scores, (S,), that are exceeded at a rate: interpolated down to a rank, beyond it by a tail from there on."""
    n = falling.shape[1]
    wanted = rate * (n + 1)
    if wanted >= rank:
        inside = min(wanted, n)
        upper = int(inside)
        above, below = falling[:, upper - 1], falling[:, min(upper, n - 1)]
        return np.asarray(above - (inside - upper) * (above - below))
    bent = np.where(np.abs(shape) < STRAIGHT, STRAIGHT, shape)
    return np.asarray(falling[:, rank - 1] + scale * np.expm1(bent * math.log(rank / wanted)) / bent)


def highest(falling: Floats, rate: float) -> Floats:
    """No tail."""
    return levels(falling, rate, 1, np.zeros(len(falling)))


def exponential(falling: Floats, rate: float) -> Floats:
    """What `calibrate bundle` does."""
    return np.array([exceeded_at(scores.tolist(), [rate])[0] for scores in falling])


def from_fifth(falling: Floats, rate: float) -> Floats:
    """An exponential tail that begins where scores still lie."""
    count = max(FIFTH, round(falling.shape[1] / 4))
    return levels(falling, rate, FIFTH, (falling[:, :count] - falling[:, count : count + 1]).mean(axis=1))


def pareto(falling: Floats, rate: float) -> Floats:
    """A generalised Pareto tail: Zhang & Stephens, Technometrics 51, 2009, its shape drawn towards 0."""
    n = falling.shape[1]
    size = max(FIFTH, round(min(0.15 * n, 3 * math.sqrt(n))))
    excesses = falling[:, :size] - falling[:, size : size + 1]
    largest = excesses[:, :1]
    units = excesses / largest
    quartile = units[:, size - int(size / 4 + 0.5), None]
    count = 20 + math.isqrt(size)
    thetas = 1 + (1 - np.sqrt(count / (np.arange(count) + 0.5))) / (3 * quartile)
    thetas = np.where(np.abs(thetas) < STRAIGHT, STRAIGHT, thetas)
    shapes = np.log1p(-thetas[:, :, None] * units[:, None, :]).mean(axis=2)
    weights = special.softmax(size * (np.log(-thetas / shapes) - shapes - 1), axis=1)
    theta = np.sum(weights * thetas, axis=1, keepdims=True)
    theta = np.where(np.abs(theta) < STRAIGHT, STRAIGHT, theta)
    shape = np.log1p(-theta * units).mean(axis=1, keepdims=True)
    scale = -shape / theta * largest
    steadied = np.clip(shape * size / (size + 10), -1.0, 0.5)
    # Excesses over a higher score are generalised Pareto again, of the same shape (Coles 2001, section 4.2).
    return levels(falling, rate, FIFTH, (scale * ((size + 1) / FIFTH) ** steadied)[:, 0], steadied[:, 0])


RULES: dict[str, Callable[[Floats, float], Floats]] = {
    "highest": highest,
    "exponential": exponential,
    "from fifth": from_fifth,
    "pareto": pareto,
}


def main() -> None:
    """Writes a row for each set of scores, number of them, rate and rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN")
    parser.add_argument("--data", type=Path, help="folder of the categories the runs were trained on")
    parser.add_argument("--repetitions", type=int, default=2000, help="default 2000")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = []
    if arguments.runs:
        for run in arguments.runs:
            for name, scores in good_scores(run, arguments.data, tests=False).items():
                sizes = [size for size in SIZES if size <= len(scores) // 2]
                rows += [row for size in sizes for row in real(name, scores, size, arguments)]
    else:
        rows = [row for name in FAMILIES for size in SIZES for row in simulated(name, size, arguments)]
    for row in rows:
        store(TABLE, row, KEY)
    for size, rate in sorted({(int(str(row["fitted"])), float(str(row["rate"]))) for row in rows}):
        for rule in RULES:
            found = [row for row in rows if (row["fitted"], row["rate"], row["rule"]) == (size, rate, rule)]
            ratios = [float(str(row["mean_ratio"])) for row in found]
            print(f"{size:5} {rate:7g} {rule:12} {np.mean(ratios):6.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def rates_of(size: int) -> list[float]:
    """The default rate of so many scores, and those below it."""
    default = resolvable_rate(size)
    return [default, *(rate for rate in BELOW if rate < default)]


def simulated(name: str, size: int, arguments: argparse.Namespace) -> list[Row]:
    """Rows of a known distribution."""
    random, family = np.random.default_rng([arguments.seed, size]), FAMILIES[name]
    drawn = family.rvs(size=size * arguments.repetitions, random_state=random).reshape(-1, size)
    falling = -np.sort(-drawn, axis=1)
    return [
        _row(name, size, rate, rule, family.sf(RULES[rule](falling, rate)), arguments)
        for rate in rates_of(size)
        for rule in RULES
    ]


def real(name: str, scores: Floats, size: int, arguments: argparse.Namespace) -> list[Row]:
    """Rows of random splits of the same scores; their ratios are coarse, as few are left to be counted."""
    random = np.random.default_rng([arguments.seed, size])
    split = random.permuted(np.tile(scores, (arguments.repetitions, 1)), axis=1)
    falling, fresh = -np.sort(-split[:, :size], axis=1), split[:, size:]
    return [
        _row(name, size, rate, rule, (fresh > RULES[rule](falling, rate)[:, None]).mean(axis=1), arguments)
        for rate in rates_of(size)
        for rule in RULES
    ]


def _row(name: str, size: int, rate: float, rule: str, true: Floats, arguments: argparse.Namespace) -> Row:
    low, high = np.quantile(true / rate, (0.05, 0.95))
    return {
        "scores": name,
        "fitted": size,
        "rate": rate,
        "default": int(rate == resolvable_rate(size)),
        "rule": rule,
        "mean_ratio": round(float(np.mean(true) / rate), 3),
        "ratio_low": round(float(low), 3),
        "ratio_high": round(float(high), 3),
        "repetitions": arguments.repetitions,
    }


if __name__ == "__main__":
    main()
