"""Resizes pictures in steps, so that nothing small falls between the samples, to the same pixels on every box.

OpenCV's INTER_LINEAR rounds differently on Arm and x86 (seen with OpenCV 5.0's wheels: 37 % of the pixels of a halved
picture differ by one level), and a map computed from other pixels is another map. INTER_LINEAR_EXACT computes whole
numbers that OpenCV defines to the last bit. tests/pixel_digests.py holds what they must be.
"""

from __future__ import annotations

from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = TypeVar("Picture", NDArray[np.uint8], NDArray[np.float32])

SHRINK = 1.5
"""A side that is at least this many times as long as its target is halved first."""


def resize(image: Picture, width: int, height: int) -> Picture:
    """Return a picture at another size, in the steps of `resize_steps`; the picture itself if it has that size.

    Args:
        image: (height, width) or (height, width, channels). Values of uint8 are the same on every box; those of float32
            may differ in their last bits.
        width: Width of the result.
        height: Its height.
    """
    resized: Any = image
    for step in resize_steps((image.shape[1], image.shape[0]), (width, height)):
        if resized.shape[1::-1] != step:
            resized = cv2.resize(resized, step, interpolation=cv2.INTER_LINEAR_EXACT)
    made: Picture = np.ascontiguousarray(resized)
    return made


def resize_steps(size: tuple[int, int], target: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the width and height after each bilinear step in which a picture is resized; the last is the target.

    At any scale, bilinear sampling reads only two pixels a side. If the scale is 1.5 or more, a line of one pixel may
    keep less than a quarter of its contrast, and near 2 it may fall between the samples. So a side that is at least one
    and a half times too long is halved first, as often as necessary. At a scale of exactly one half, bilinear sampling
    is the mean of neighbours. An odd side is first made even.
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
