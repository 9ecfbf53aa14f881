"""The reject chart: whether more parts are rejected than the calibration and the line's usual defects explain."""

from __future__ import annotations

import math

from edge_inspect.edge.bundle.manifest import DecisionPart, Thresholds

PARTS_BETWEEN_FALSE_ALARMS = 1_000_000
ODDS = 5.0
"""So many times the usual odds of a reject is what the chart looks for."""
WEIGHT = 0.01
"""Of the newest part in the share of rejects that is shown: about the last 200 parts count."""
LEAST, MOST = 0.002, 0.9
"""Bounds of the usual share: below the first one, two rejects in a row would be an alarm."""


def usual_share(decision: DecisionPart, limits: Thresholds, defect_share: float) -> float:
    """Return the share of parts that may be rejected without an alarm: of good parts, and of usual defects.

    Of good parts it is the upper end of the interval that the calibration states, or twice the rate asked for where an
    older bundle states none.
    """
    good = 2 * decision.false_reject_rate if limits.rate_high is None else limits.rate_high
    return min(max(good + defect_share, LEAST), MOST)


class RejectChart:
    """A cumulative sum of log-likelihood ratios of rejects: the Bernoulli CUSUM (Page 1954; Reynolds & Stoumbos 1999).

    With p0 the usual share of rejects and p1 the share of five times its odds, every part adds ln(p1 / p0) where it is
    rejected and ln((1 - p1) / (1 - p0)) where it is not, and the sum S never falls below 0. The alarm begins at S = h.

    - False alarms: while the true share is p0 or less, alarms lie exp(h) parts or more apart on average (Lorden 1971,
      theorem 2). h = ln(1,000,000), so 10,000 good parts raise one in less than about 1 of 100 cases.
    - Delay: where the share is p1, S grows by K = p1 ln(p1 / p0) + (1 - p1) ln((1 - p1) / (1 - p0)) a part on average,
      so the alarm comes after about h / K parts: 90 at p0 = 0.05, 192 at 0.02. Where every part is rejected it comes
      after h / ln(p1 / p0) parts: 10 and 9.

    S does not grow beyond h, and the alarm ends when S is 0 again: at p0 = 0.05 after 76 accepted parts in a row.

    Args:
        usual: p0, in (0, 1).
    """

    def __init__(self, usual: float) -> None:
        odds = ODDS * usual / (1 - usual)
        looked_for = odds / (1 + odds)
        self.usual = usual
        self._reject, self._accept = math.log(looked_for / usual), math.log((1 - looked_for) / (1 - usual))
        self.limit = math.log(PARTS_BETWEEN_FALSE_ALARMS)
        """h, at which the alarm begins."""
        self.sum = 0.0
        """S: evidence for more rejects than usual."""
        self.share = 0.0
        """Moving average of the rejects, over about the last 200 parts."""
        self.alarmed = False
        self._parts = 0

    def add(self, *, rejected: bool) -> None:
        """Take in a part that was judged."""
        self._parts += 1
        self.share += max(WEIGHT, 1 / self._parts) * (rejected - self.share)
        step = self._reject if rejected else self._accept
        self.sum = min(max(self.sum + step, 0.0), self.limit)
        if self.sum in (0.0, self.limit):
            self.alarmed = self.sum > 0
