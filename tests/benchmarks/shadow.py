"""What a threshold from a line's own parts, bad ones among them, is worth: simulated.

    python tests/benchmarks/shadow.py [--runs 60]        prints the table of docs/measurements.md, "Shadow and watch"

Good parts score by six distributions; bad ones lie evenly between 1 and 15 standard deviations above the mean of good
ones, and each part is bad with the same chance. Seeds are fixed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_inspect.calibrate.line.scores import sort_out
from edge_inspect.calibrate.thresholds.threshold import clopper_pearson, exceeded_at, resolvable_rate

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(0.3, 0.02, n),
    "gumbel": lambda rng, n: rng.gumbel(0.3, 0.02, n),
    "gamma": lambda rng, n: rng.gamma(9, 0.03, n),
    "lognormal": lambda rng, n: rng.lognormal(-1.2, 0.2, n),
    "student": lambda rng, n: 0.3 + 0.02 * rng.standard_t(5, n),
    "two sorts": lambda rng, n: np.where(rng.random(n) < 0.02, rng.normal(0.36, 0.03, n), rng.normal(0.3, 0.02, n)),
}
MANY = 1_000_000


class Worth(NamedTuple):
    """What the threshold of one shadow is worth.

    Attributes:
        ratio: It, divided by that of 5,000 good parts at the same rate.
        rejected: The share of good parts that it rejects, divided by the share asked for.
        kept: Whether that share is within what the bundle promises.
    """

    ratio: float
    rejected: float
    kept: bool


def worth(
    rng: np.random.Generator, name: str, many: NDArray[np.float64], parts: int, bad: float, stated: float
) -> Worth:
    """Return what the threshold of a simulated shadow is worth; `many` are good scores, sorted."""
    draw = DISTRIBUTIONS[name]
    scores, count = draw(rng, parts), rng.binomial(parts, bad)
    scores[:count] = many.mean() + many.std() * rng.uniform(1, 15, count)
    good, undecided = sort_out(scores, stated)
    rate = resolvable_rate(good.size)
    threshold, wanted = (exceeded_at(each.tolist(), [rate])[0] for each in (good, draw(rng, 5000)))
    true = 1 - np.searchsorted(many, threshold) / many.size
    above = int(np.count_nonzero(good > threshold)) + undecided
    return Worth(threshold / wanted, true / rate, bool(true <= clopper_pearson(above, good.size + undecided)[1]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60, help="of each distribution (default 60)")
    runs = parser.parse_args().runs
    many = {name: np.sort(draw(np.random.default_rng(0), MANY)) for name, draw in DISTRIBUTIONS.items()}
    for parts in (300, 1000, 2000, 5000):
        for bad, stated in ((0.0, 0.02), (0.01, 0.02), (0.02, 0.02), (0.02, 0.05)):
            rng = np.random.default_rng([parts, round(1000 * bad), round(1000 * stated)])
            found = [worth(rng, name, many[name], parts, bad, stated) for name in many for _ in range(runs)]
            ratios, rejected, kept = (np.array(column) for column in zip(*found, strict=True))
            low, middle, high = np.quantile(ratios, [0.05, 0.5, 0.95])
            print(
                f"| {parts:,}, {100 * bad:g} % | {stated} | {middle:.2f} ({low:.2f} to {high:.2f}) "
                f"| {100 * np.mean(abs(ratios - 1) < 0.2):.0f} % | {rejected.mean():.1f} | {100 * kept.mean():.0f} % |"
            )


if __name__ == "__main__":
    main()
