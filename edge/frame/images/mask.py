"""Ground truth: which pixels of a picture are defective.

The value of a pixel is the largest of its channels. These rules decide which values mark a defect:

- If no value is above half of white (class numbers, a dark colour, 0 and 1), or there are at most 8 values, all values
  above 0 mark a defect.
- If there are more values, those above half of white do. The others are the soft edges of a drawing, or JPEG's noise
  around 0 and white. But if some of the lower values fill whole areas, as the numbers of many objects do, it is not
  clear what they mean, and the mask is refused.
- If the format is lossy, as JPEG is, values above half of the largest value do.
- A transparent pixel is not marked. If the whole picture has one colour, the alpha channel is the mask.
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
"""Largest share of a picture that a mask may mark. A mask that marks more is probably inverted."""

_FEW = 8
_NOISE = 8
"""Values up to this may be JPEG's noise around 0."""
_AREA = 5
"""Side in pixels of the smallest square that counts as an area."""
_BORDER = 0.95


@dataclass(frozen=True)
class Mask:
    """A ground-truth mask.

    Attributes:
        path: Path of the file.
        marked: Defective pixels, (height, width) uint8: 1 where the mask marks a defect, 0 elsewhere.
        values: Description of the values in the file, for messages.
    """

    path: Path
    marked: NDArray[np.uint8]
    values: str

    @property
    def doubt(self) -> str:
        """Reason why the mask is probably wrong; empty if it is plausible."""
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
    """Read a ground-truth mask, rotated upright as pictures are.

    Raises:
        ImageError: The mask cannot be read, or it is not clear which of its values mark a defect.
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
            raise ImageError(f"{clean(path)}: holds {values}, and it is not clear which of them mark a defect; {RULE}")
    return Mask(path, np.asarray(levels > limit, np.uint8), values)


def _levels(raw: NDArray[np.generic]) -> NDArray[np.int32]:
    """Return one value per pixel: the largest of its colours, or 0 if it is transparent."""
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
    """Return whether any value above 0 fills a square area."""
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
