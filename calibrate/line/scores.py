"""Scores of a line's own parts, of which a stated share may be bad: which of them are taken as good."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_inspect.calibrate.thresholds.distributions import binomial_quantile

CUT_IN_VAIN = 0.01
"""Probability of taking good scores for bad ones, at most, if the tail of good scores is exponential."""
TAIL = 0.1
"""Share of the certainly good scores whose excesses tell how fast the tail falls."""
LEAST_TAIL = 10
SURELY = 0.999
"""Probability that no more parts are bad than are in doubt."""

FEW_BEYOND = 2
"""Number of good scores that may be left out together with the bad ones among which they lie."""
UNLIKELY = 0.05
"""Expected number of good scores above a score from which on all are taken as bad."""

Floats = NDArray[np.float64]


class SortedOut(NamedTuple):
    """Scores divided into good and left-out ones.

    Attributes:
        good: Scores taken as good, sorted.
        undecided: How many of the left-out scores, the lowest ones, may be good too.
    """

    good: Floats
    undecided: int


def sort_out(scores: Floats, bad_share: float) -> SortedOut:
    """Return which scores are taken as good; the highest may be left out, but no more of them than may be bad.

    The stated share is that of the line. Among n parts there may be more bad ones than the share says. Parts in doubt
    are therefore the highest scores, in such a number that more parts are bad only once in 1,000 times: of 2,000 parts
    61, if the share is 2 %. One bad part that is taken as good would set the threshold.

    All other parts are good, because bad parts score higher. The scores in doubt are looked at from the lowest on. Each
    is taken as good as long as it is no further from those below it than good scores would be (a forward search:
    Atkinson & Riani 2000). Suppose that the scores above it were good as well, and that the tail of good parts were
    exponential with scale s. Then the gap before the j-th highest score would be exponential with mean s / j (Rényi
    1953). So a gap is too wide if j gap / s exceeds ln(n / 0.01), where n is the number of scores in doubt: good scores
    are then cut off in 1 of 100 cases. The scale is that of a truncated exponential distribution fitted to the excesses
    so far. It is fitted anew at every step and assumes nothing about the scores above.

    A gap that is too wide says that there are bad scores above it, not that all scores above it are bad. If all were
    left out, the highest good ones would be lost too, and the threshold would reject several times the requested share.
    The same distribution tells how many good scores to expect above the gap: with k excesses, the largest of them L,
    these are m = k / (exp(L / s) - 1). So the lowest m scores above the gap are taken as good too, up to the score
    L + s ln(m / 2) that two good ones exceed. Two are as many as set a threshold (`resolvable_rate`), and beyond that
    score good and bad ones cannot be told apart. The next scores, up to the one that good scores exceed once in 20
    times, are undecided.

    If fewer parts are bad than stated, little or nothing is therefore left out. If clearly more parts are bad, the
    threshold becomes too high.

    Args:
        scores: Finite scores of all parts in any order, at least one.
        bad_share: Largest share of bad parts on the line, from 0 to below 0.5.
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
    """Return how many of the other excesses, from the lowest, are taken as good, and how many more are undecided."""
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

    The scale s solves mean = s - L / (exp(L / s) - 1), where L is the largest excess: it maximises the likelihood.
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
