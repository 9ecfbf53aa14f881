"""The score drift: whether good parts still score as those of the calibration did, long before they are rejected."""

from __future__ import annotations

import math

WEIGHT = 0.01
"""Of the newest score in the moving average: about the last 200 parts count."""
LIMIT = 4.5
"""Standard errors."""
CLIP = 4.0
"""Standard deviations at which a score is cut: one strange part is no drift."""


class ScoreDrift:
    """An exponentially weighted moving average of the good scores, held against the calibration's (Roberts 1959).

    The average of standardised scores has the variance w / (2 - w); what it is compared with was itself found from some
    images, which adds one over their number. Beyond 4.5 standard errors of both it is said to drift. On scores like the
    calibration's that happens less than once in 100,000 parts, a shift by two deviations is told within 200 parts
    (tests/edge/health/test_drift.py measures both). Scores of rejected parts do not count: they are the product's.

    Args:
        mean: Of the held-out good scores.
        deviation: Their standard deviation.
        images: How many they were.
    """

    def __init__(self, mean: float, deviation: float, images: int) -> None:
        self._mean, self._deviation = mean, max(deviation, 1e-9)
        self.limit = LIMIT * math.sqrt(WEIGHT / (2 - WEIGHT) + 1 / images)
        """In standard deviations of the good scores."""
        self.shift = 0.0
        """How far good scores have moved, in those deviations; above 0 is towards reject."""

    def add(self, score: float) -> None:
        """A part was accepted."""
        standard = (score - self._mean) / self._deviation
        self.shift += WEIGHT * (min(max(standard, -CLIP), CLIP) - self.shift)

    @property
    def drifted(self) -> bool:
        """Whether good parts do not score as they did."""
        return abs(self.shift) > self.limit
