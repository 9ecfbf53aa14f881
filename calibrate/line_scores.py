"""Scores of a line's own parts, of which a stated share may be bad: which of them are taken for good."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_inspect.calibrate.distributions import binomial_quantile

CUT_IN_VAIN = 0.01
"""How often good scores are taken for bad ones, at most, where their tail is exponential."""
TAIL = 0.1
"""Share of the scores that are certainly good whose excesses tell how fast their tail falls."""
LEAST_TAIL = 10
SURELY = 0.999
"""How surely no more parts are bad than are in doubt."""

FEW_BEYOND = 2
"""Good scores that may be left out with the bad ones among which they lie."""
UNLIKELY = 0.05
"""Good scores expected above one that is taken for surely bad."""

Floats = NDArray[np.float64]


class SortedOut(NamedTuple):
    """Which scores are taken for good.

    Attributes:
        good: They, sorted.
        undecided: How many of the others, the lowest, may be good ones too.
    """

    good: Floats
    undecided: int


def sort_out(scores: Floats, bad_share: float) -> SortedOut:
    """Return which scores are taken for good; the highest may be left out, no more than may be bad.

    A share is one of the line. Among n parts of it so many bad ones may be that more come once in 1,000 times: of 2,000
    parts 61, where the share is 2 %. One bad part that is taken for good would set the threshold.

    All others are good, as bad parts score higher. Of those in doubt, each next higher one is taken for good while it
    is no further from those below than good scores would be (a forward search: Atkinson & Riani 2000). If the scores
    above it were good as well, the tail of good parts being exponential with the scale s, the gap before the j-th
    highest would be exponential with the mean s / j (Rényi 1953). So it is too wide where j gap / s exceeds
    ln(n / 0.01), n being the number of scores in doubt: good ones are then cut in 1 of 100 cases. The scale is that of
    a truncated exponential distribution of the excesses so far, found anew at every step, which does not suppose that
    anything lies above them.

    A gap that is too wide says that bad scores are among those above it, and not that all of them are bad. Were all
    left out, the highest good ones would be too, and the threshold would reject several times the share asked for. The
    same distribution tells how many good scores lie above the gap: with k excesses, the largest of them L, these are
    m = k / (exp(L / s) - 1). So the m lowest are taken too, up to the score L + s ln(m / 2) that two good ones exceed:
    as many as set a threshold (`resolvable_rate`), and beyond it good and bad ones are not told apart. The others are
    undecided, up to the score that good ones exceed once in 20 times.

    Where fewer parts are bad than stated, nothing or little is therefore left out; where they are clearly more, the
    threshold is too high.

    Args:
        scores: Of all parts, in any order, at least one, finite.
        bad_share: The largest share of bad parts on the line, from 0 to below 0.5.
    """
    rising = np.sort(scores)
    n = rising.size
    doubtful = min(binomial_quantile(SURELY, n, bad_share), (n - 1) // 2) if bad_share else 0
    good = n - doubtful
    tail = max(LEAST_TAIL, round(TAIL * n))
    if doubtful == 0 or good <= tail:
        return SortedOut(rising[:good], doubtful)
    limit = math.log(doubtful / CUT_IN_VAIN)
    start = rising[good - tail]
    while good < n:
        excesses = rising[good - tail + 1 : good] - start
        scale = _truncated_scale(excesses)
        if (n - good) * (rising[good] - rising[good - 1]) > limit * scale:
            taken, undecided = _beyond(excesses, scale, rising[good:] - start)
            return SortedOut(rising[: good + taken], undecided)
        good, tail = good + 1, tail + 1
    return SortedOut(rising, 0)


def _beyond(excesses: Floats, scale: float, others: Floats) -> tuple[int, int]:
    """Return how many of the other excesses, the lowest, are taken for good, and how many of the next are undecided."""
    if scale <= 0:
        return 0, 0
    largest = float(excesses[-1])
    expected = excesses.size / math.expm1(min(largest / scale, 700.0))

    def up_to(good_above: float) -> int:
        highest = largest + scale * math.log(max(expected / good_above, 1.0))
        return int(np.searchsorted(others, highest, side="right"))

    taken = min(round(expected), up_to(FEW_BEYOND))
    return taken, up_to(UNLIKELY) - taken


def _truncated_scale(excesses: Floats) -> float:
    """Return the scale of an exponential distribution cut off at the largest excess; at most that excess.

    It solves mean = s - L / (exp(L / s) - 1) for s, L being the largest excess: the maximum of the likelihood.
    """
    largest, mean = float(excesses[-1]), float(excesses.mean())
    if largest <= 0:
        return 0.0

    def mean_of(scale: float) -> float:
        return scale - largest / math.expm1(min(largest / scale, 700.0))

    low, high = largest / 700, largest
    if mean >= mean_of(high):
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_of(middle) < mean else (low, middle)
    return high
