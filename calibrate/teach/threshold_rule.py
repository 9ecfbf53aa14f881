"""The threshold of a taught bundle: from the parent's threshold, the labelled good parts and the labelled defects.

Labelled parts are no random sample. Most were labelled because they were rejected or nearly so. Their scores say how
far good parts may reach, and not how often they reach so far; that is known only from the parent's calibration. So:

    T = max(T_parent, T_good), below every labelled defect that the parent's threshold finds

`T_good` is the score that labelled good parts exceed at the bundle's rate, and at least two of them on average
(`tail_threshold`), so that no single odd part sets it. Labelled good parts score higher than good parts in general, so
good parts in general exceed it less often. If a labelled defect scores below the parent's threshold, the threshold may
be lowered to find it, but not below the lower end of the parent's interval, nor so far that another labelled good part
is rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edge_inspect.calibrate.thresholds.confidence import LEVEL
from edge_inspect.calibrate.thresholds.distributions import binomial_quantile
from edge_inspect.calibrate.thresholds.threshold import clopper_pearson, tail_threshold
from edge_inspect.edge.bundle.manifest import DecisionPart, Thresholds

LEAST = 2
"""Number of labelled good parts that exceed `T_good` on average, as `resolvable_rate` demands."""


class TaughtThreshold(NamedTuple):
    """A threshold and how it was found.

    Attributes:
        image: Threshold of the score.
        before: The parent's threshold.
        wanted: Threshold that the labelled good parts ask for; `None` if there are fewer than two of them.
        above: Number of labelled good parts that score above `image`.
        good: Number of labelled good parts that were scored.
        missed: Number of labelled defects at or below `image`.
        limited: Whether labelled defects keep it below what the labelled good parts ask for.
        rate_high: Largest share of good parts like those of the parent's calibration that is rejected; `None` if the
            parent says nothing about it.
    """

    image: float
    before: float
    wanted: float | None
    above: int
    good: int
    missed: int
    limited: bool
    rate_high: float | None

    @property
    def still_rejected(self) -> tuple[float, float]:
        """Interval of the share of good parts like the labelled ones that is rejected, at `LEVEL`."""
        return clopper_pearson(self.above, self.good) if self.good else (0.0, 1.0)

    @property
    def method(self) -> str:
        """How the threshold was found, in words, for the manifest."""
        if self.image > self.before:
            how = f"the parent's {self.before:.4g} raised for {self.good} labelled good parts"
            return f"{how}, and kept below labelled defects" if self.limited else how
        if self.image < self.before:
            return f"the parent's {self.before:.4g} lowered for labelled defects, within its interval"
        return f"the parent's, which holds for {self.good - self.above} of {self.good} labelled good parts"


def taught_threshold(
    decision: DecisionPart, limits: Thresholds, good: Sequence[float], defects: Sequence[float]
) -> TaughtThreshold:
    """Return the threshold after teaching; see the module's text.

    Args:
        decision: The parent's decision.
        limits: The parent's thresholds in the precision of the scores.
        good: Scores of labelled good parts by a network that has learned from none of them.
        defects: Scores of labelled defects by the network of the new bundle.
    """
    before = limits.image
    wanted = None
    if len(good) >= LEAST:
        rate = max(decision.false_reject_rate, min(LEAST / (len(good) + 1), 0.999))
        wanted = tail_threshold(good, rate).threshold
    image = before if wanted is None else max(before, wanted)
    ceiling = min((score for score in defects if score > before), default=None)
    limited = ceiling is not None and image >= ceiling
    if ceiling is not None and limited:
        image = _between(max([before, *(score for score in good if score < ceiling)]), ceiling)
    if image <= before:
        image = _lowered(before, limits.image_low, good, defects)
    return TaughtThreshold(
        image=image,
        before=before,
        wanted=wanted,
        above=sum(score > image for score in good),
        good=len(good),
        missed=sum(score <= image for score in defects),
        limited=limited,
        rate_high=limits.rate_high if image >= before else _rate_when_lowered(decision, limits),
    )


def _lowered(before: float, low: float | None, good: Sequence[float], defects: Sequence[float]) -> float:
    """Return a threshold that finds as many of the missed defects as it may; the parent's if that is none."""
    floor = max([before if low is None else low, *(score for score in good if score <= before)])
    found = min((score for score in defects if floor < score <= before), default=None)
    return before if found is None else _between(floor, found)


def _rate_when_lowered(decision: DecisionPart, limits: Thresholds) -> float | None:
    """Return the largest share of good parts above the lower end of the parent's interval."""
    if limits.rate_high is None:
        return None
    images = decision.held_out_images
    above = binomial_quantile((1 + LEVEL) / 2, images, decision.false_reject_rate)
    return max(limits.rate_high, clopper_pearson(above, images)[1])


def _between(low: float, high: float) -> float:
    """Return the middle of two scores, where a little noise changes neither verdict."""
    return (low + high) / 2
