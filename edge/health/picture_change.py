"""The picture's change: whether light, focus and position are as they were at the calibration, or at the start."""

from __future__ import annotations

import math
from typing import NamedTuple

from edge_inspect.edge.health.drift import BEYOND_WANDER
from edge_inspect.edge.health.picture import Measure, PictureFigures, PictureNorm, Spread, picture_norm

WEIGHT = 0.02
"""Of the newest frame in the moving averages: about the last 100 frames count."""
START = 100
"""Frames from which the start is learned, where the bundle does not say what its images showed on average."""
ERRORS, ERRORS_OF_MEAN = 4.5, 3.0
"""Standard errors of the average and of the calibration's mean that a change must have: what is less may be chance."""
LEAST: dict[Measure, float] = {"light": 0.1, "focus": 0.25, "position": 0.05}
"""Changes that are told at all: of the light and the sharpness a share, of the position a share of the frame's side."""


class MeasureChange(NamedTuple):
    """How far a measure has moved.

    Attributes:
        value: Light and focus: as a share of what it was, below 0 is less. Position: as a share of the frame's side.
        limit: A larger change, either way, is told.
    """

    value: float
    limit: float

    @property
    def ratio(self) -> float:
        """The change in units of its limit, at least 0."""
        return abs(self.value) / self.limit


class PictureChange:
    """Exponentially weighted moving averages of every frame's figures, held against those of good parts (Roberts 1959).

    An average of weight w has the variance s² w / (2 - w) where one frame's is s², and the mean that it is held against
    is known to s² / n from n images. A change is told beyond 4.5 standard errors of the former plus 3 of the latter,
    and only where it matters: 10 % of the light, 25 % of the sharpness, 5 % of the frame's side. While nothing has
    changed, that happens less than once in 100,000 frames. A lamp that loses 15 % is told after about 55 frames: then
    the average has gone 1 - (1 - w)^55 = 67 % of the way, and 67 % of 15 % is 10 %.

    It ends when the change is below half its limit.

    Where light, focus or position go up and down on a good line, the average went with them in shadow. How far it went,
    its wander, is usual, and 2.5 standard errors more.

    Args:
        norm: What the calibration's images showed; `None`: it is learned from the first 100 frames.
    """

    def __init__(self, norm: PictureNorm | None) -> None:
        self._norm = norm
        self._start: list[PictureFigures] = []
        self._means: dict[str, float] = {}
        self._changed: dict[Measure, bool] = dict.fromkeys(LEAST, False)
        self.changes: dict[Measure, MeasureChange] = {}
        """None before the start is known."""

    def add(self, figures: PictureFigures) -> None:
        """Take in a frame."""
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
        """The measures that have changed."""
        return [measure for measure, holds in self._changed.items() if holds]


def _relative(change: MeasureChange, mean: float, least: float) -> MeasureChange:
    scale = max(abs(mean), 1e-9)
    return MeasureChange(change.value / scale, max(change.limit / scale, least))
