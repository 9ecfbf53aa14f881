"""The reject chart: notices that more parts are rejected than the calibration and the usual defects explain."""

from __future__ import annotations

import math

from edge_inspect.edge.bundle.manifest import DecisionPart, Thresholds

PARTS_BETWEEN_FALSE_ALARMS = 1_000_000
ODDS = 5.0
"""The chart is tuned to notice this many times the usual odds of a reject."""
WEIGHT = 0.01
"""Weight of the newest part in the displayed share of rejects, so that about the last 200 parts count."""
LEAST, MOST = 0.002, 0.9
"""Bounds of the usual share. Below the lower bound, two rejects in a row would raise an alarm."""


def usual_share(decision: DecisionPart, limits: Thresholds, defect_share: float) -> float:
    """Return the share of parts that may be rejected without an alarm: rejected good parts plus usual defects.

    The share of good parts is the upper end of the interval in the manifest. Older bundles have no interval; then it is
    twice the rate of false rejects that the threshold was made for.
    """
    good = 2 * decision.false_reject_rate if limits.rate_high is None else limits.rate_high
    return min(max(good + defect_share, LEAST), MOST)


class RejectChart:
    """A cumulative sum of log-likelihood ratios of rejects: the Bernoulli CUSUM (Page 1954; Reynolds & Stoumbos 1999).

    Let p0 be the usual share of rejects, and p1 the share with five times its odds. A rejected part adds ln(p1 / p0) to
    the sum S, an accepted one adds ln((1 - p1) / (1 - p0)), and S never falls below 0. The alarm begins at S = h.

    - False alarms: while the true share is p0 or less, alarms lie exp(h) parts or more apart on average (Lorden 1971,
      theorem 2). h = ln(1,000,000), so 10,000 good parts raise one in less than about 1 of 100 cases.
    - Delay: where the share is p1, S grows by K = p1 ln(p1 / p0) + (1 - p1) ln((1 - p1) / (1 - p0)) a part on average,
      so the alarm comes after about h / K parts: 90 at p0 = 0.05, 192 at 0.02. Where every part is rejected it comes
      after h / ln(p1 / p0) parts: 10 and 9.

    S does not grow beyond h, and the alarm ends when S is 0 again: at p0 = 0.05 after 76 accepted parts in a row.

    Args:
        usual: Usual share of rejects, p0, between 0 and 1.

    Attributes:
        limit: Value h of the sum at which the alarm begins.
        sum: The sum S, the evidence that more parts are rejected than usual.
        share: Moving average of the rejects, over about the last 200 parts.
        alarmed: Whether there is an alarm.
    """

    def __init__(self, usual: float) -> None:
        odds = ODDS * usual / (1 - usual)
        looked_for = odds / (1 + odds)
        self.usual = usual
        self._reject, self._accept = math.log(looked_for / usual), math.log((1 - looked_for) / (1 - usual))
        self.limit = math.log(PARTS_BETWEEN_FALSE_ALARMS)
        self.sum = 0.0
        self.share = 0.0
        self.alarmed = False
        self._parts = 0

    def add(self, *, rejected: bool) -> None:
        """Take in a part that was accepted or rejected."""
        self._parts += 1
        self.share += max(WEIGHT, 1 / self._parts) * (rejected - self.share)
        step = self._reject if rejected else self._accept
        self.sum = min(max(self.sum + step, 0.0), self.limit)
        if self.sum in (0.0, self.limit):
            self.alarmed = self.sum > 0
