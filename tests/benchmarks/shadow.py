"""How close a threshold from a line's own parts, bad ones among them, comes to that of 5,000 good parts: simulated.

    python tests/benchmarks/shadow.py [--runs 100]        prints the table of docs/line.md

Good parts score by a normal, a Gumbel, a gamma and a lognormal distribution; bad ones lie evenly between 1 and 15
standard deviations above the mean of good ones, and each part is bad with the same chance. Seeds are fixed.
"""

from __future__ import annotations

import argparse

import numpy as np

from calibrate.line_scores import sort_out
from calibrate.threshold import exceeded_at

RATE = 0.001
DISTRIBUTIONS = {
    "normal": lambda rng, n: rng.normal(0.3, 0.02, n),
    "gumbel": lambda rng, n: rng.gumbel(0.3, 0.02, n),
    "gamma": lambda rng, n: rng.gamma(9, 0.03, n),
    "lognormal": lambda rng, n: rng.lognormal(-1.2, 0.2, n),
}


def ratio(rng: np.random.Generator, name: str, parts: int, bad: float, stated: float) -> float:
    """Return the threshold of a line's parts, divided by that of 5,000 good parts."""
    draw = DISTRIBUTIONS[name]
    scores, many, count = draw(rng, parts), draw(rng, 20_000), rng.binomial(parts, bad)
    scores[:count] = many.mean() + many.std() * rng.uniform(1, 15, count)
    kept = sort_out(scores, stated).good
    return exceeded_at(kept.tolist(), [RATE])[0] / exceeded_at(draw(rng, 5000).tolist(), [RATE])[0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="of each distribution")
    runs = parser.parse_args().runs
    for parts in (300, 1000, 2000, 5000):
        for bad, stated in ((0.0, 0.02), (0.01, 0.02), (0.02, 0.02), (0.02, 0.05)):
            rng = np.random.default_rng([parts, round(1000 * bad), round(1000 * stated)])
            found = np.array([ratio(rng, name, parts, bad, stated) for name in DISTRIBUTIONS for _ in range(runs)])
            low, middle, high = np.quantile(found, [0.05, 0.5, 0.95])
            within = np.mean(abs(found - 1) < 0.2)
            print(f"| {parts}, {bad:.0%} | {stated} | {middle:.2f} ({low:.2f} to {high:.2f}) | {within:.0%} |")


if __name__ == "__main__":
    main()
