"""Pictures brought to another size, in steps, so that no small thing falls between the samples."""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = TypeVar("Picture", NDArray[np.uint8], NDArray[np.float32])

SHRINK = 1.5


def resize(image: Picture, width: int, height: int) -> Picture:
    """Return a picture at another size, in the steps of `resize_steps`; the picture itself if it has that size.

    Args:
        image: (height, width) or (height, width, channels).
        width: Width of the result.
        height: Its height.
    """
    resized: Any = image
    for step in resize_steps((image.shape[1], image.shape[0]), (width, height)):
        if resized.shape[1::-1] != step:
            resized = cv2.resize(resized, step, interpolation=cv2.INTER_LINEAR)
    made: Picture = np.ascontiguousarray(resized)
    return made


def resize_steps(size: tuple[int, int], target: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the widths and heights a picture goes through on its way to the target, the last: each step is bilinear.

    Bilinear sampling alone reads two pixels a side whatever the scale: from a scale of 1.5 on, a line of one pixel may
    keep less than a quarter of its light, and near 2 it may fall between the samples. So a side at least one and a
    half times too long is halved first, as often as it takes. At exactly one half bilinear is the mean of neighbours,
    and OpenCV does it several times faster than its area mode; an odd side is first made even.
    """
    w, h = size
    steps = []
    while w >= SHRINK * target[0] or h >= SHRINK * target[1]:
        halve_w, halve_h = w >= SHRINK * target[0], h >= SHRINK * target[1]
        w, h = w + w % 2 * halve_w, h + h % 2 * halve_h
        steps.append((w, h))
        w, h = w // (1 + halve_w), h // (1 + halve_h)
        steps.append((w, h))
    return [*steps, target]
