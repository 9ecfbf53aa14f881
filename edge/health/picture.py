"""The camera's pictures: frozen, dark, overexposed or out of focus, against what the calibration's images showed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from edge_inspect.edge.frame.images import Frame

PictureWarning = Literal["frozen", "dark", "overexposed", "out_of_focus"]
Measure = Literal["light", "focus", "position"]
"""What is compared with the start: mean grey level, sharpness, and where the picture's edges lie."""

GRID = 8
"""Every eighth pixel both ways tells brightness and sameness."""
PATCH = 320
"""Pixels, at most, of the side of the square in the frame's middle that tells sharpness."""
SATURATED = 250
IN_A_ROW = 10
"""Frames before anything is said: a hand in front of the lens is no fault."""

# Where the bundle does not say what its images showed.
DARK_LEVEL, MOST_SATURATED = 16.0, 0.5
# Where it does: under half the light of the darkest, a quarter of the frame more than in the brightest, half as sharp.
LESS_LIGHT, MORE_SATURATED, LESS_SHARP = 0.5, 0.25, 0.5


class Spread(BaseModel):
    """How a figure of good images is distributed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mean: float
    deviation: float = Field(ge=0)
    wander: float = Field(default=0.0, ge=0, description="how far its moving average went from the mean in shadow")


class PictureNorm(BaseModel):
    """What good images show on average, and how far each of them may lie from that."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    images: int = Field(ge=2)
    level: Spread
    sharpness: Spread
    x: Spread = Field(description="centre of the edges, as a share of the picture's width")
    y: Spread


class PictureRange(BaseModel):
    """What the good images of the calibration showed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    level_low: float = Field(ge=0, le=255, description="mean grey level of the darkest")
    saturated_high: float = Field(ge=0, le=1, description="share of saturated values in the brightest")
    sharpness_low: float = Field(ge=0, description="of the least sharp: deviation of the Laplacian, in grey deviations")
    norm: PictureNorm | None = Field(None, description="null in bundles of one image, and in older ones")


class PictureFigures(NamedTuple):
    """What one frame shows.

    Attributes:
        level: Mean grey level, 0 to 255, of its green.
        saturated: Share of values at 250 and above.
        sharpness: Standard deviation of the Laplacian over that of the grey levels: the light cancels out.
        digest: Equal for equal frames.
        x: Centre of its edges, as a share of its width.
        y: The same, of its height.
    """

    level: float
    saturated: float
    sharpness: float
    digest: int
    x: float
    y: float


def examine(frame: Frame) -> PictureFigures:
    """Return the figures of a frame of any size: (height, width, 3) uint8 BGR."""
    grid = np.ascontiguousarray(frame[::GRID, ::GRID])
    top, left = (max(0, (side - PATCH) // 2) for side in frame.shape[:2])
    patch = np.ascontiguousarray(frame[top : top + PATCH, left : left + PATCH, 1])
    edges = cv2.meanStdDev(cv2.Laplacian(patch, cv2.CV_16S))[1].item()
    contrast = cv2.meanStdDev(patch)[1].item()
    x, y = _edge_centre(grid)
    return PictureFigures(
        level=cv2.mean(grid)[1],
        saturated=float(np.count_nonzero(grid >= SATURATED)) / grid.size,
        sharpness=edges / contrast if contrast > 0 else 0.0,
        digest=zlib.crc32(grid.data),
        x=x,
        y=y,
    )


def _edge_centre(grid: Frame) -> tuple[float, float]:
    """Return where the edges lie, each weighed by the square of its Laplacian; the middle where there are none."""
    edges = cv2.Laplacian(np.ascontiguousarray(grid[..., 1]), cv2.CV_32F)
    moments = cv2.moments(edges * edges)
    if moments["m00"] <= 0:
        return 0.5, 0.5
    height, width = edges.shape
    return (moments["m10"] / moments["m00"] + 0.5) / width, (moments["m01"] / moments["m00"] + 0.5) / height


def picture_range(figures: Sequence[PictureFigures]) -> PictureRange:
    """Return the range of the calibration's images; one at least."""
    return PictureRange(
        level_low=min(each.level for each in figures),
        saturated_high=max(each.saturated for each in figures),
        sharpness_low=min(each.sharpness for each in figures),
        norm=picture_norm(figures) if len(figures) > 1 else None,
    )


def picture_norm(figures: Sequence[PictureFigures]) -> PictureNorm:
    """Return the averages and deviations of images, two at least."""

    def spread(values: list[float]) -> Spread:
        return Spread(mean=float(np.mean(values)), deviation=float(np.std(values, ddof=1)))

    return PictureNorm(
        images=len(figures),
        level=spread([each.level for each in figures]),
        sharpness=spread([each.sharpness for each in figures]),
        x=spread([each.x for each in figures]),
        y=spread([each.y for each in figures]),
    )


class PictureWatch:
    """Looks at what every frame of one camera shows. `see` belongs to the camera's thread.

    Args:
        seen: What the calibration's images showed; `None` where the bundle does not say: then nothing is out of focus,
            and only what is dark or saturated by any measure is told.
    """

    def __init__(self, seen: PictureRange | None) -> None:
        self._darkest = DARK_LEVEL if seen is None else seen.level_low * LESS_LIGHT
        self._most_saturated = MOST_SATURATED if seen is None else seen.saturated_high + MORE_SATURATED
        self._least_sharp = 0.0 if seen is None else seen.sharpness_low * LESS_SHARP
        self._in_a_row: dict[PictureWarning, int] = {"frozen": 0, "dark": 0, "overexposed": 0, "out_of_focus": 0}
        self.last: PictureFigures | None = None

    def see(self, now: PictureFigures, *, live: bool) -> None:
        """Look at a frame's figures; only a live camera can freeze."""
        before = self.last
        dark, overexposed = now.level < self._darkest, now.saturated > self._most_saturated
        found: dict[PictureWarning, bool] = {
            "frozen": live and before is not None and now.digest == before.digest,
            "dark": dark,
            "overexposed": overexposed,
            "out_of_focus": not dark and not overexposed and now.sharpness < self._least_sharp,
        }
        for warning, holds in found.items():
            self._in_a_row[warning] = self._in_a_row[warning] + 1 if holds else 0
        self.last = now

    @property
    def warnings(self) -> list[PictureWarning]:
        """What the last ten frames all were."""
        return [warning for warning, count in self._in_a_row.items() if count >= IN_A_ROW]
