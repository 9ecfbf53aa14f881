"""The threshold of a taught bundle: from the parent's threshold, the labelled good parts and the labelled defects.

Labelled parts are no random sample. Most were labelled because they were rejected or nearly so. Their scores say how
far good parts may reach, and not how often they reach so far; that is known only from the parent's calibration. So:

    T = max(T_parent, T_good), below every labelled defect that the parent's threshold finds

`T_good` is the score that a share of the labelled good parts exceeds which the parent rejects (`tail_threshold`). At
least two of them exceed it on average, so that no single odd part sets it. If only the threshold is taught, the share
is the bundle's rate. Good parts in general score lower than those that were rejected, so fewer of them exceed `T_good`.
If a memory learns, it takes most of these parts back by itself, and a higher threshold would only cost defects. The
share is then a fifth (`AIM`): the threshold rises only where less than four fifths of such parts would pass.

If a labelled defect scores below the parent's threshold, the threshold may be lowered to find it, but not below the
lower end of the parent's interval, nor so far that another labelled good part is rejected.
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
AIM = 0.2
"""Share of good parts like those that were wrongly rejected that may still be after a memory has learned."""


class TaughtThreshold(NamedTuple):
    """A threshold and how it was found.

    Attributes:
        image: Threshold of the score.
        before: The parent's threshold.
        wanted: Threshold that the labelled good parts ask for; `None` if fewer than two were rejected.
        above: Number of labelled good parts that the parent rejects and that score above `image` too.
        wrong: Number of labelled good parts that the parent rejects.
        missed: Number of labelled defects at or below `image`.
        limited: Whether labelled defects keep it below what the labelled good parts ask for.
        rate_high: Largest share of good parts like those of the parent's calibration that is rejected; `None` if the
            parent says nothing about it.
    """

    image: float
    before: float
    wanted: float | None
    above: int
    wrong: int
    missed: int
    limited: bool
    rate_high: float | None

    @property
    def still_rejected(self) -> tuple[float, float]:
        """Interval of the share of good parts like those that were wrongly rejected that still is, at `LEVEL`."""
        return clopper_pearson(self.above, self.wrong) if self.wrong else (0.0, 1.0)

    @property
    def method(self) -> str:
        """How the threshold was found, in words, for the manifest."""
        if self.image > self.before:
            how = f"the parent's {self.before:.4g} raised for {self.wrong} good parts that it rejects"
            return f"{how}, and kept below labelled defects" if self.limited else how
        if self.image < self.before:
            return f"the parent's {self.before:.4g} lowered for labelled defects, within its interval"
        passing = self.wrong - self.above
        return (
            f"the parent's; {passing} of {self.wrong} good parts that were rejected pass it"
            if self.wrong
            else "the parent's"
        )


def taught_threshold(
    decision: DecisionPart,
    limits: Thresholds,
    wrong: Sequence[float],
    right: Sequence[float],
    defects: Sequence[float],
    aim: float = 0.0,
) -> TaughtThreshold:
    """Return the threshold after teaching; see the module's text.

    Args:
        decision: The parent's decision.
        limits: The parent's thresholds in the precision of the scores.
        wrong: Scores of labelled good parts that the parent rejects, by a network that has learned from none of them.
        right: Scores of labelled good parts that the parent accepts, likewise.
        defects: Scores of labelled defects by the network of the new bundle.
        aim: Share of parts like `wrong` that may be rejected, if it is larger than the bundle's rate.
    """
    before = limits.image
    wanted = None
    if len(wrong) >= LEAST:
        rate = max(decision.false_reject_rate, aim, min(LEAST / (len(wrong) + 1), 0.999))
        wanted = tail_threshold(wrong, rate).threshold
    image = before if wanted is None else max(before, wanted)
    ceiling = min((score for score in defects if score > before), default=None)
    limited = ceiling is not None and image >= ceiling
    if ceiling is not None and limited:
        image = _between(max([before, *(score for score in wrong if score < ceiling)]), ceiling)
    if image <= before:
        image = _lowered(before, limits.image_low, [*right, *wrong], defects)
    return TaughtThreshold(
        image=image,
        before=before,
        wanted=wanted,
        above=sum(score > image for score in wrong),
        wrong=len(wrong),
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
