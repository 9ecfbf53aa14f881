"""What paired rounds say: the median of ratios, and an interval of it that supposes nothing of their distribution."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.9


class Median(NamedTuple):
    """A median with an interval that covers the true one with at least `CONFIDENCE`.

    With five values, the least at which that can be had, it is the whole range, which covers it with 0.94.
    """

    value: float
    low: float
    high: float


def median(values: Sequence[float]) -> Median:
    """Return the median of independent values, and its interval between two of them (the sign test's)."""
    inside = sorted(values)
    count = len(inside)
    below = 0  # values that are left out on each side
    while 1 - 2 * sum(comb(count, k) for k in range(below + 2)) / 2**count >= CONFIDENCE:
        below += 1
    return Median(float(np.median(inside)), inside[below], inside[count - 1 - below])


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Median:
    """Return the median of the ratios of values that were measured in the same rounds."""
    return median([one / other for one, other in zip(ours, theirs, strict=True)])
