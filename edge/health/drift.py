"""The score drift: whether parts score as those of the calibration did, long before good ones are rejected."""

from __future__ import annotations

import math

WEIGHT = 0.01
"""Of the newest score in the moving average: about the last 200 parts count."""
LIMIT, LIMIT_OF_MEAN = 4.5, 3.0
"""Standard errors of the moving average, and of the calibration's mean."""
BEYOND_WANDER = 2.5
"""Standard errors of the moving average by which it may go further than it went in shadow."""
CLIP = 4.0
"""Standard deviations at which a score is cut: one strange part is no drift."""


class ScoreDrift:
    """An exponentially weighted moving average of all parts' scores, held against the calibration's (Roberts 1959).

    Rejected parts count too, so that a shift which rejects everything is told. Standardised scores are cut at 4, and so
    a share d of bad parts moves the average by 4 d at most and adds 16 d at most to the variance of one score. The
    average has the variance (1 + 16 d) w / (2 - w). The mean that it is compared with was itself found from n images:
    its variance is 1 / n, and its error stays the same for all parts. Beyond 4.5 standard errors of the former plus 3
    of the latter, plus 4 d, scores are said to drift. On scores like the calibration's that happens less than once in
    100,000 parts, a shift by two deviations is told within 200 parts (tests/edge/health/test_drift.py measures both).
    The drift ends when the shift is below half the limit.

    All that supposes that one part's score says nothing of the next one's. On a line whose light goes up and down over
    a shift, the average goes with the light. How far the average went in shadow, its wander, is therefore usual. It may
    go 2.5 standard errors further, as chance adds to the drift differently each time.

    Args:
        mean: Of the held-out good scores.
        deviation: Their standard deviation.
        images: How many they were.
        defect_share: The share of bad parts that is usual, d.
        wander: How far the average went from the mean while the line was in shadow, in deviations.
    """

    def __init__(
        self, mean: float, deviation: float, images: int, defect_share: float = 0.0, wander: float = 0.0
    ) -> None:
        self._mean, self._deviation = mean, max(deviation, 1e-9)
        error = math.sqrt((1 + CLIP**2 * defect_share) * WEIGHT / (2 - WEIGHT))
        chance = max(LIMIT * error, wander + BEYOND_WANDER * error)
        self.limit = chance + LIMIT_OF_MEAN / math.sqrt(images) + CLIP * defect_share
        """In standard deviations of the good scores."""
        self.shift = 0.0
        """How far scores have moved, in those deviations; above 0 is towards reject."""
        self.drifted = False
        """Whether parts do not score as they did."""

    def add(self, score: float) -> None:
        """Take in a part that was judged."""
        standard = (score - self._mean) / self._deviation
        self.shift += WEIGHT * (min(max(standard, -CLIP), CLIP) - self.shift)
        self.drifted = abs(self.shift) > self.limit * (0.5 if self.drifted else 1.0)
