"""The score drift: notices that scores move away from those of the calibration, long before good parts are rejected."""

from __future__ import annotations

import math

WEIGHT = 0.01
"""Weight of the newest score in the moving average, so that about the last 200 parts count."""
LIMIT, LIMIT_OF_MEAN = 4.5, 3.0
"""Width of the limit: number of standard errors of the moving average, and of the calibration's mean."""
BEYOND_WANDER = 2.5
"""Number of standard errors by which the moving average may go further than it went in shadow."""
CLIP = 4.0
"""Largest standardised score that counts, in standard deviations, so that one strange part is no drift."""


class ScoreDrift:
    """An exponentially weighted moving average of all parts' scores, compared with the calibration's (Roberts 1959).

    Rejected parts count too, so that a shift that rejects every part is noticed. Standardised scores are clipped at 4,
    so a share d of bad parts moves the average by at most 4 d, and adds at most 16 d to the variance of one score. The
    average has the variance (1 + 16 d) w / (2 - w). The mean that it is compared with was estimated from n images, so
    its variance is 1 / n, and its error is the same for all parts. The limit is 4.5 standard errors of the average,
    plus 3 standard errors of the mean, plus 4 d. Scores like those of the calibration exceed it less than once in
    100,000 parts; a shift by two deviations exceeds it within 200 parts (tests/edge/health/test_drift.py measures
    both). The drift ends when the shift is below half the limit.

    All this assumes that the scores of successive parts are independent. On a line whose light changes over the day,
    the average follows the light. Its wander, the farthest that it went in shadow, is therefore normal, and it may go
    2.5 standard errors further, because chance adds something different each time.

    Args:
        mean: Mean of the held-out good scores.
        deviation: Standard deviation of these scores.
        images: Number of these scores, n.
        defect_share: Share of bad parts that is normal on the line, d.
        wander: Largest distance of the average from the mean while the line was in shadow, in deviations.

    Attributes:
        limit: Largest shift that is no drift, in standard deviations of the good scores.
        shift: How far the scores have moved, in the same unit; positive towards reject.
        drifted: Whether the scores drift.
    """

    def __init__(
        self, mean: float, deviation: float, images: int, defect_share: float = 0.0, wander: float = 0.0
    ) -> None:
        self._mean, self._deviation = mean, max(deviation, 1e-9)
        error = math.sqrt((1 + CLIP**2 * defect_share) * WEIGHT / (2 - WEIGHT))
        chance = max(LIMIT * error, wander + BEYOND_WANDER * error)
        self.limit = chance + LIMIT_OF_MEAN / math.sqrt(images) + CLIP * defect_share
        self.shift = 0.0
        self.drifted = False

    def add(self, score: float) -> None:
        """Take in the score of a part."""
        standard = (score - self._mean) / self._deviation
        self.shift += WEIGHT * (min(max(standard, -CLIP), CLIP) - self.shift)
        self.drifted = abs(self.shift) > self.limit * (0.5 if self.drifted else 1.0)
