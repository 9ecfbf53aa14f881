"""Describes a region of a picture by its colours and edges, where there is no memory that could describe it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.frame.images import Frame

_SIDE = 32
_CELLS, _ANGLES = 4, 8
_COLOURS = 8
_SMALLEST, _MARGIN = 32, 0.25


def describe(frame: Frame, region: Sequence[int] | None) -> NDArray[np.float32]:
    """Return a unit vector of a region: similar regions have similar vectors.

    It joins a histogram of colours (L*a*b*) with histograms of the directions of edges in 4 x 4 cells, each of unit
    length, as HOG does (Dalal and Triggs, CVPR 2005, https://doi.org/10.1109/CVPR.2005.177).

    Args:
        frame: The picture, (height, width, 3) uint8 BGR.
        region: Bounding box in pixels: x, y, width, height. `None` describes the whole picture.
    """
    crop = cv2.resize(_crop(frame, region), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(crop, cv2.COLOR_BGR2LAB)
    colours = [np.histogram(lab[..., channel], _COLOURS, (0, 256))[0] for channel in range(3)]
    # Roots, because a histogram's large counts would otherwise hide the small ones (Hellinger's distance).
    parts = [np.sqrt(np.concatenate(colours)), np.sqrt(_edges(lab[..., 0].astype(np.float32)))]
    joined = np.concatenate([part / max(float(np.linalg.norm(part)), 1e-9) for part in parts])
    return (joined / max(float(np.linalg.norm(joined)), 1e-9)).astype(np.float32)


def _crop(frame: Frame, region: Sequence[int] | None) -> Frame:
    """Return a region with some of its surroundings, at least 32 pixels wide and high where the frame is."""
    if region is None:
        return frame
    height, width = frame.shape[:2]
    x, y, across, down = region
    half = max(across, down, _SMALLEST) * (0.5 + _MARGIN)
    left, right = max(0, int(x + across / 2 - half)), min(width, int(x + across / 2 + half) + 1)
    top, bottom = max(0, int(y + down / 2 - half)), min(height, int(y + down / 2 + half) + 1)
    return frame[top:bottom, left:right] if right > left and bottom > top else frame


def _edges(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how strong the edges of each direction are in each cell, (cells * cells * angles,)."""
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    angle = (np.arctan2(down, across) % np.pi) * (_ANGLES / np.pi)
    rows, columns = np.indices(grey.shape) * _CELLS // _SIDE
    places = (rows * _CELLS + columns) * _ANGLES + angle.astype(int) % _ANGLES
    return np.bincount(places.ravel(), np.hypot(across, down).ravel(), _CELLS * _CELLS * _ANGLES).astype(np.float64)
