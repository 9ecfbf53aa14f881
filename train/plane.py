"""The plane in which pixels are counted: the frame's own, so that every fit is measured on the same pixels.

A fit that stretches, crops or pads has a canvas of its own, and figures from different canvases cannot be compared: a
crop leaves out what it does not see, and a stretch gives the short side more weight. So maps are brought back to the
frame, and masks stay as they were drawn. A large frame is shrunk, with its proportions kept, until its longer side has
512 pixels; a smaller one keeps its size. Then:

- the **map** in a pixel is the mean, over the pixel's area, of the map brought back by `Placement.map_to_frame`;
- a pixel that the fit does not see wholly, because of a crop, a region of interest or areas, has no value of its own.
  It counts as the lowest value of all maps: a defect there is found last, no better than by guessing;
- the **mask** marks a pixel if it marks at least half of the pixel's area. A marked region too small for that anywhere
  marks every pixel that it touches, so no defect is lost.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.frame.placement import Placement

LONGEST = 512
"""Most pixels of the plane's longer side."""

EPSILON = 1e-4
"""Rounding error of a bilinear mean."""

Size = tuple[int, int]
"""Width and height in pixels."""


def plane_of(frame: Size) -> Size:
    """Return the size of the plane of a frame: the frame's own, or shrunk so that the longer side has 512 pixels."""
    scale = min(1.0, LONGEST / max(frame))
    return max(1, round(frame[0] * scale)), max(1, round(frame[1] * scale))


def map_in_plane(values: NDArray[np.float32], placement: Placement, frame: Size) -> NDArray[np.float32]:
    """Return a canvas's map in the plane of its frame, (h, w) float32; NaN where the fit does not see all of a pixel.

    Args:
        values: The map, as large as the canvas.
        placement: Where the frame lies on the canvas.
        frame: Width and height of the frame.
    """
    whole = placement.map_to_frame(values, *frame)
    x0, y0, x1, y1 = placement.seen
    if (x0, y0, x1, y1) != (0, 0, *frame):
        inside = whole[y0:y1, x0:x1].copy()
        whole.fill(np.nan)
        whole[y0:y1, x0:x1] = inside
    if placement.weights is not None or placement.pose is not None:
        looked_at = placement.looked_at((values.shape[1], values.shape[0]))
        counts = placement.map_to_frame(looked_at.astype(np.float32), *frame)
        whole[counts < 1 - EPSILON] = np.nan
    return np.asarray(_shrunk(whole, plane_of(frame)), np.float32)


def mask_in_plane(marked: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a frame's mask in the frame's plane, (h, w) uint8; both hold 0 and 1."""
    height, width = marked.shape
    share = _shrunk(marked.astype(np.float32), plane_of((width, height)))
    touched, found = np.asarray(share > 0, np.uint8), share >= 0.5
    _, regions = cv2.connectedComponents(touched, connectivity=8)
    small = np.isin(regions, regions[found], invert=True) & (regions > 0)
    return np.asarray(found | small, np.uint8)


def fill_unseen(maps: Iterable[NDArray[np.float32]]) -> None:
    """Give the pixels that are NaN, because no fit saw them, the lowest value of all maps; in place."""
    every = list(maps)
    lowest = min((float(np.nanmin(values)) for values in every if not np.isnan(values).all()), default=0.0)
    for values in every:
        values[np.isnan(values)] = lowest


def _shrunk(values: NDArray[np.float32], size: Size) -> NDArray[np.float32]:
    """Return the means over areas, as INTER_AREA computes them; the array itself if it has that size already."""
    if values.shape == size[::-1]:
        return values
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
