"""Ground truth: which pixels of a picture are defective.

Where a mask marks, by its values (the largest of a pixel's channels):

- above 0, where no value is above half (class numbers, a grey of a colour, 0 and 1) or there are 8 values at most;
- above half, where there are many: they are the soft edges of a drawing, or the noise of JPEG around 0 and white. If
  some of the lower ones fill whole areas, as the numbers of many objects do, nobody can tell, and the mask is refused;
- above half of its own largest value, where the format changes values, as JPEG does.
- A transparent pixel marks nothing. Where all of the picture has one colour, the drawing is in the alpha channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import ImageError
from edge_inspect.edge.frame.images.file import read_raw
from edge_inspect.edge.text import clean

RULE = "a mask is 0 where the part is good and 255, or the number of a class, where it is defective"
MOST_SHARE = 0.9
"""Of a picture. A mask that marks more is taken for an inverted or an empty one, or there is no part to be seen."""

_FEW = 8
_NOISE = 8
"""JPEG's values scatter so far around 0."""
_AREA = 5
"""Pixels a side of what counts as an area."""
_BORDER = 0.95


@dataclass(frozen=True)
class Mask:
    """A mask as it was read.

    Attributes:
        path: Its file.
        marked: (height, width) uint8, 1 where it marks, 0 elsewhere.
        values: The values it holds, for a message.
    """

    path: Path
    marked: NDArray[np.uint8]
    values: str

    @property
    def doubt(self) -> str:
        """Why it cannot be meant as it is; nothing where it can."""
        share = float(self.marked.mean())
        what = ""
        if not self.marked.any():
            what = "marks nothing."
        elif share > MOST_SHARE:
            what = f"marks {share:.1%} of the picture; is it inverted?"
        elif share > 0.5 and _border(self.marked).mean() > _BORDER:
            what = f"marks {share:.1%} of the picture, and all around its border; is it inverted?"
        return what and f"{clean(self.path)}: {what} It holds {self.values}; {RULE}"


def read_mask(path: Path) -> Mask:
    """Read a ground-truth mask, upright as pictures are.

    Raises:
        ImageError: It cannot be read, or its values do not tell what they mark.
    """
    raw, facts = read_raw(path)
    if raw.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{clean(path)}: has pixels of type {raw.dtype}; save it with 8 bits: {RULE}")
    levels = _levels(raw)
    top = facts.white or (65535 if levels.max() > 255 else 255)
    found = np.unique(levels)
    values = _describe(found)
    limit = 0
    if facts.lossy:
        limit = max(int(found[-1]) // 2, 2 * _NOISE)
    elif found.size > _FEW and found[-1] > top // 2:
        limit = top // 2
        low = np.where((levels > _NOISE * top // 255) & (levels <= limit), levels, 0)
        if _has_area(low):
            raise ImageError(f"{clean(path)}: holds {values}, and which of them mark is not clear; {RULE}")
    return Mask(path, np.asarray(levels > limit, np.uint8), values)


def _levels(raw: NDArray[np.generic]) -> NDArray[np.int32]:
    """Return one value a pixel: the largest of its colours, and 0 where it is transparent."""
    if raw.ndim == 2 or raw.shape[2] == 1:
        return np.asarray(raw.reshape(raw.shape[:2]), np.int32)
    colours = np.asarray(raw[:, :, :3].max(axis=2), np.int32)
    if raw.shape[2] < 4:
        return colours
    alpha = np.asarray(raw[:, :, 3], np.int32)
    if alpha.min() == alpha.max():
        return colours
    one_colour = (raw[:, :, :3] == raw[0, 0, :3]).all()
    return alpha if one_colour else np.asarray(np.minimum(colours, alpha), np.int32)


def _has_area(low: NDArray[np.int32]) -> bool:
    """Return whether one value above 0 fills a square of it."""
    if min(low.shape) < _AREA:
        return False
    values, kernel = low.astype(np.float32), np.ones((_AREA, _AREA), np.uint8)
    return bool(((cv2.erode(values, kernel) == cv2.dilate(values, kernel)) & (values > 0)).any())


def _border(marked: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([marked[0], marked[-1], marked[:, 0], marked[:, -1]])


def _describe(values: NDArray[np.int32]) -> str:
    if values.size <= _FEW:
        return f"the {'value' if values.size == 1 else 'values'} {', '.join(map(str, values))}"
    return f"{values.size} values from {values[0]} to {values[-1]}"
