"""Thresholds from good images alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

ENOUGH_FOR_SHAPE = 100
TAIL = 0.5
TAIL_WITH_SHAPE = 0.15
LARGEST_SHAPE = 0.5


@dataclass(frozen=True)
class TailFit:
    """A threshold and how it was found.

    Attributes:
        threshold: Good parts score above it at the rate asked for.
        method: In words, for the manifest and the report.
    """

    threshold: float
    method: str


def tail_threshold(scores: Sequence[float], false_reject_rate: float) -> TailFit:
    """The score that good parts exceed at a rate, extrapolated from the tail of held-out good scores.

    Excesses over a high score follow a generalised Pareto distribution (Pickands 1975; Coles 2001, chapter 4). With 100
    scores or more, its shape and scale are fitted to the highest 15 %. Fewer do not determine the shape: then it is 0
    (an exponential tail), fitted to the upper half.

    Args:
        scores: Scores of good parts the model has never seen.
        false_reject_rate: The share to exceed the threshold, in (0, 1).

    Raises:
        ValueError: There is no score.
    """
    ordered = np.sort(np.asarray(scores, np.float64))
    if ordered.size == 0:
        raise ValueError("a threshold needs at least one score")
    enough = ordered.size >= ENOUGH_FOR_SHAPE
    share = TAIL_WITH_SHAPE if enough else TAIL
    start = float(np.quantile(ordered, 1 - share))
    excesses = ordered[ordered > start] - start
    if excesses.size == 0:  # all equal
        return TailFit(float(ordered[-1]), f"largest of {ordered.size} equal scores")
    above = excesses.size / ordered.size
    if false_reject_rate >= above:
        level = float(np.quantile(ordered, 1 - false_reject_rate))
        return TailFit(level, f"quantile of {ordered.size} held-out good scores")
    if enough:
        shape, _, scale = stats.genpareto.fit(excesses, floc=0)
        shape = float(np.clip(shape, -LARGEST_SHAPE, LARGEST_SHAPE))
        method = f"generalised Pareto tail (shape {shape:.2f}) of {ordered.size} held-out good scores"
    else:
        shape, scale = 0.0, float(excesses.mean())
        wanted = max(ENOUGH_FOR_SHAPE, round(10 / false_reject_rate))
        method = f"exponential tail of {ordered.size} held-out good scores; {wanted} would settle this rate"
    beyond = float(stats.genpareto.isf(false_reject_rate / above, shape, 0, scale))
    return TailFit(start + beyond, method)
