"""The change of the pictures: compares light, focus and position with the calibration, or with the first frames."""

from __future__ import annotations

import math
from typing import NamedTuple

from edge_inspect.edge.health.drift import BEYOND_WANDER
from edge_inspect.edge.health.picture import Measure, PictureFigures, PictureNorm, Spread, picture_norm

WEIGHT = 0.02
"""Weight of the newest frame in the moving averages, so that about the last 100 frames count."""
START = 100
"""Number of first frames that are the reference if the bundle does not say what its images were like."""
ERRORS, ERRORS_OF_MEAN = 4.5, 3.0
"""Width of the limit: number of standard errors of the average, and of the calibration's mean."""
LEAST: dict[Measure, float] = {"light": 0.1, "focus": 0.25, "position": 0.05}
"""Smallest limits: a relative change of light and sharpness, and for the position a share of the frame's side."""


class MeasureChange(NamedTuple):
    """How far a measure has moved.

    Attributes:
        value: Change of light or focus relative to the reference, negative for less; change of the position as a share
            of the frame's side.
        limit: Size of the change, up or down, beyond which there is a warning.
    """

    value: float
    limit: float

    @property
    def ratio(self) -> float:
        """Size of the change divided by its limit."""
        return abs(self.value) / self.limit


class PictureChange:
    """Exponentially weighted moving averages of every frame's figures, compared with good parts' (Roberts 1959).

    If one frame's figure has the variance s², an average of weight w has the variance s² w / (2 - w), and the mean of n
    images has s² / n. The limit is 4.5 standard errors of the average plus 3 of the mean, but at least 10 % of the
    light, 25 % of the sharpness or 5 % of the frame's side. While nothing changes, the limit is exceeded less than once
    in 100,000 frames. A lamp that loses 15 % of its light is noticed after about 55 frames: by then the average has
    gone 1 - (1 - w)^55 = 67 % of the way, and 67 % of 15 % is 10 %.

    A warning ends when the change is below half its limit.

    If light, focus or position vary on a good line, the average followed them in shadow. Its wander, the farthest that
    it went then, is normal, and so are 2.5 standard errors more.

    Args:
        norm: Figures of the calibration's images; if `None`, those of the first 100 frames are used.

    Attributes:
        changes: The changes; empty while the first 100 frames are still being collected.
    """

    def __init__(self, norm: PictureNorm | None) -> None:
        self._norm = norm
        self._start: list[PictureFigures] = []
        self._means: dict[str, float] = {}
        self._changed: dict[Measure, bool] = dict.fromkeys(LEAST, False)
        self.changes: dict[Measure, MeasureChange] = {}

    def add(self, figures: PictureFigures) -> None:
        """Take in the figures of a frame."""
        if self._norm is None:
            self._start.append(figures)
            if len(self._start) == START:
                self._norm, self._start = picture_norm(self._start), []
            return
        norm = self._norm
        spreads = {"level": norm.level, "sharpness": norm.sharpness, "x": norm.x, "y": norm.y}
        for name, spread in spreads.items():
            before = self._means.get(name, spread.mean)
            self._means[name] = before + WEIGHT * (getattr(figures, name) - before)
        by_name = {name: self._change(spread, self._means[name], norm.images) for name, spread in spreads.items()}
        x, y = by_name["x"], by_name["y"]
        self.changes = {
            "light": _relative(by_name["level"], norm.level.mean, LEAST["light"]),
            "focus": _relative(by_name["sharpness"], norm.sharpness.mean, LEAST["focus"]),
            "position": max(
                (MeasureChange(each.value, max(each.limit, LEAST["position"])) for each in (x, y)),
                key=lambda change: change.ratio,
            ),
        }
        for measure, change in self.changes.items():
            self._changed[measure] = change.ratio > (0.5 if self._changed[measure] else 1.0)

    def _change(self, spread: Spread, mean: float, images: int) -> MeasureChange:
        error = math.sqrt(WEIGHT / (2 - WEIGHT)) * spread.deviation
        chance = max(ERRORS * error, spread.wander + BEYOND_WANDER * error)
        return MeasureChange(mean - spread.mean, chance + ERRORS_OF_MEAN / math.sqrt(images) * spread.deviation)

    @property
    def changed(self) -> list[Measure]:
        """Measures whose change is beyond the limit."""
        return [measure for measure, holds in self._changed.items() if holds]


def _relative(change: MeasureChange, mean: float, least: float) -> MeasureChange:
    scale = max(abs(mean), 1e-9)
    return MeasureChange(change.value / scale, max(change.limit / scale, least))
