"""Measures the camera's pictures, and warns if they are frozen, dark, overexposed or out of focus."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame

PictureWarning = Literal["frozen", "dark", "overexposed", "out_of_focus"]
Measure = Literal["light", "focus", "position"]
"""The measures of a picture that are compared with the calibration: mean grey level, sharpness, position of edges."""

GRID = 8
"""Brightness and sameness are measured on every eighth pixel of every eighth row."""
PATCH = 320
"""Sharpness is measured on a square in the middle of what is looked at, with this side in pixels at most."""
SATURATED = 250
IN_A_ROW = 10
"""Number of frames in a row before there is a warning, because a hand in front of the lens is no fault."""

# Limits if the bundle does not say what its images were like: mean grey level, share of saturated values.
DARK_LEVEL, MOST_SATURATED = 16.0, 0.5
# Limits if it does: half the light of the darkest image, a quarter of the frame more saturated than the brightest
# image, half as sharp as the least sharp image.
LESS_LIGHT, MORE_SATURATED, LESS_SHARP = 0.5, 0.25, 0.5


class Spread(BaseModel):
    """Mean and spread of one figure over good images."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    mean: float
    deviation: float = Field(ge=0)
    wander: float = Field(
        default=0.0, ge=0, description="largest distance of the moving average from the mean while in shadow"
    )


class PictureNorm(BaseModel):
    """Mean and spread of the figures of good images."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    images: int = Field(ge=2)
    level: Spread
    sharpness: Spread
    x: Spread = Field(description="horizontal centre of the edges, as a share of the picture's width")
    y: Spread = Field(description="vertical centre of the edges, as a share of the picture's height")


class PictureRange(BaseModel):
    """The range of the figures over the good images of the calibration."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    level_low: float = Field(ge=0, le=255, description="mean grey level of the darkest image")
    saturated_high: float = Field(ge=0, le=1, description="share of saturated values in the brightest image")
    sharpness_low: float = Field(ge=0, description="sharpness of the least sharp image; see PictureFigures.sharpness")
    norm: PictureNorm | None = Field(
        None, description="mean and spread of the figures; null in bundles made of one image, and in older ones"
    )


class PictureFigures(NamedTuple):
    """The measured figures of one frame.

    Attributes:
        level: Mean grey level of the green channel, 0 to 255.
        saturated: Share of values that are 250 or higher.
        sharpness: Standard deviation of the Laplacian divided by that of the grey levels; independent of the light.
        digest: A number that is the same for identical frames.
        x: Horizontal centre of the edges, as a share of the width.
        y: Vertical centre of the edges, as a share of the height.
    """

    level: float
    saturated: float
    sharpness: float
    digest: int
    x: float
    y: float


class MeasuredPixels:
    """The pixels of frames that are measured: those that the bundle looks at.

    Args:
        looked_at: Whether each pixel is looked at, (height, width) bool.
    """

    def __init__(self, looked_at: NDArray[np.bool_]) -> None:
        self.shape = looked_at.shape
        mask = looked_at.astype(np.uint8)
        grid = np.ascontiguousarray(mask[::GRID, ::GRID])
        self.count = max(1, int(np.count_nonzero(grid)))
        self.grid, self.grid_edges = _masks(grid)
        x, y, width, height = cv2.boundingRect(mask)
        self.corner = max(0, y + (height - PATCH) // 2), max(0, x + (width - PATCH) // 2)
        top, left = self.corner
        self.patch, self.patch_edges = _masks(np.ascontiguousarray(mask[top : top + PATCH, left : left + PATCH]))

    @classmethod
    def of(cls, fit: Fit) -> MeasuredPixels | None:
        """Return the pixels that a fit looks at; `None` if these are all, or lie elsewhere in each frame."""
        if fit.areas is None or fit.alignment is not None:
            return None
        return cls(fit.areas.looked_at())


_Mask = NDArray[np.uint8] | None
"""`None` is all pixels, which OpenCV measures faster."""


def _masks(mask: NDArray[np.uint8]) -> tuple[_Mask, _Mask]:
    """Return a mask, and its pixels whose neighbours are in it too, so that their Laplacian sees nothing else."""
    if mask.all():
        return None, None
    return mask, np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8), borderValue=1), np.uint8)


def examine(frame: Frame, measured: MeasuredPixels | None = None) -> PictureFigures:
    """Return the figures of a frame, (height, width, 3) uint8 BGR.

    Args:
        frame: The frame.
        measured: The pixels that are measured; `None`, or pixels of frames of another size, measures the whole frame.
    """
    if measured is None or measured.shape != frame.shape[:2]:
        measured = _whole(*frame.shape[:2])
    grid = np.ascontiguousarray(frame[::GRID, ::GRID])
    top, left = measured.corner
    patch = np.ascontiguousarray(frame[top : top + PATCH, left : left + PATCH, 1])
    edges = cv2.meanStdDev(cv2.Laplacian(patch, cv2.CV_16S), mask=measured.patch_edges)[1].item()
    contrast = cv2.meanStdDev(patch, mask=measured.patch)[1].item()
    x, y = _edge_centre(grid, measured.grid_edges)
    bright = grid >= SATURATED
    if measured.grid is not None:
        bright &= measured.grid.view(np.bool_)[..., None]
    return PictureFigures(
        level=cv2.mean(grid, mask=measured.grid)[1],
        saturated=float(np.count_nonzero(bright)) / (3 * measured.count),
        sharpness=edges / contrast if contrast > 0 else 0.0,
        digest=zlib.crc32(grid.data),
        x=x,
        y=y,
    )


@functools.lru_cache(maxsize=16)
def _whole(height: int, width: int) -> MeasuredPixels:
    """Return all pixels of frames of this size."""
    return MeasuredPixels(np.ones((height, width), bool))


def _edge_centre(grid: Frame, inner: _Mask) -> tuple[float, float]:
    """Return the centre of the edges, weighted by the square of the Laplacian; the middle if there are no edges."""
    edges = cv2.Laplacian(np.ascontiguousarray(grid[..., 1]), cv2.CV_32F)
    if inner is not None:
        edges *= inner
    moments = cv2.moments(edges * edges)
    if moments["m00"] <= 0:
        return 0.5, 0.5
    height, width = edges.shape
    return (moments["m10"] / moments["m00"] + 0.5) / width, (moments["m01"] / moments["m00"] + 0.5) / height


def picture_range(figures: Sequence[PictureFigures]) -> PictureRange:
    """Return the range of the figures of the calibration's images, at least one."""
    return PictureRange(
        level_low=min(each.level for each in figures),
        saturated_high=max(each.saturated for each in figures),
        sharpness_low=min(each.sharpness for each in figures),
        norm=picture_norm(figures) if len(figures) > 1 else None,
    )


def picture_norm(figures: Sequence[PictureFigures]) -> PictureNorm:
    """Return mean and spread of the figures of at least two images."""

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
    """Checks every frame of one camera. Only the camera thread may call `see`.

    Args:
        seen: Range of the calibration's images; if `None`, fixed limits for dark and overexposed pictures are used, and
            there is no warning about focus.

    Attributes:
        last: Figures of the last frame; `None` before the first.
    """

    def __init__(self, seen: PictureRange | None) -> None:
        self._darkest = DARK_LEVEL if seen is None else seen.level_low * LESS_LIGHT
        self._most_saturated = MOST_SATURATED if seen is None else seen.saturated_high + MORE_SATURATED
        self._least_sharp = 0.0 if seen is None else seen.sharpness_low * LESS_SHARP
        self._in_a_row: dict[PictureWarning, int] = {"frozen": 0, "dark": 0, "overexposed": 0, "out_of_focus": 0}
        self.last: PictureFigures | None = None

    def see(self, now: PictureFigures, *, live: bool) -> None:
        """Check the figures of a frame. Identical frames count as frozen only if the camera is live."""
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
        """Warnings that held for each of the last ten frames."""
        return [warning for warning, count in self._in_a_row.items() if count >= IN_A_ROW]
