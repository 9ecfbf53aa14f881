"""Control limits of the share of rejects: between them lies a shift in which everything is as usual."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

OUTSIDE = 0.002
"""Probability that a usual shift lies outside the limits: half of it below, half above (three-sigma limits)."""


class ControlLimits(NamedTuple):
    """The lowest and the highest share of rejects, 0 to 1, of a usual shift."""

    low: float
    high: float


@functools.lru_cache(maxsize=1024)
def control_limits(usual: float, parts: int, outside: float = OUTSIDE) -> ControlLimits | None:
    """Return the exact binomial limits of a p chart; `None` before the first part.

    With X rejects among `parts`, each with probability `usual`, the limits are the smallest numbers of rejects k with
    P(X <= k) >= outside / 2 and P(X <= k) >= 1 - outside / 2, as shares (Montgomery, Introduction to Statistical
    Quality Control, chapter 7; the binomial quantiles stand for the normal ones, which are wrong for few parts).

    Args:
        usual: Usual share of rejects, between 0 and 1, both excluded.
        parts: Number of parts in the shift.
        outside: Probability that a usual shift lies outside the limits, half on each side, at least 1e-12.
    """
    if parts < 1:
        return None
    # Outside of 10 standard deviations and 100 parts there is less probability than floats can add up.
    middle, reach = usual * parts, 10 * math.sqrt(usual * (1 - usual) * parts) + 100
    first, last = max(0, math.floor(middle - reach)), min(parts, math.ceil(middle + reach))
    counts = np.arange(first, last, dtype=np.float64)
    ratios = np.log(parts - counts) - np.log(counts + 1) + math.log(usual / (1 - usual))
    start = (
        math.lgamma(parts + 1)
        - math.lgamma(first + 1)
        - math.lgamma(parts - first + 1)
        + first * math.log(usual)
        + (parts - first) * math.log1p(-usual)
    )
    # Sums of exp() of logarithms, because the probabilities themselves become too small for floats.
    total = np.cumsum(np.exp(start + np.concatenate(([0.0], np.cumsum(ratios)))))
    low, high = np.searchsorted(total, (outside / 2, 1 - outside / 2))
    return ControlLimits((first + int(low)) / parts, min(first + int(high), parts) / parts)
