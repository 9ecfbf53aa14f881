"""Convert a decoded picture to a frame, the only form that all other code uses."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import ImageError

Frame = NDArray[np.uint8]
"""A picture: (height, width, 3) uint8, BGR."""


def to_frame(image: NDArray[np.generic], source: str = "image") -> Frame:
    """Return a decoded picture of 1, 3 or 4 channels and 8 or 16 bits as a `Frame`.

    Raises:
        ImageError: The picture has another number of channels or another type.
    """
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ImageError(f"{source}: has pixels of type {image.dtype}; 8 and 16 bits are supported")
    if image.ndim == 3 and image.shape[2] == 3:
        return np.ascontiguousarray(image)
    if image.ndim == 2 or image.shape[2] == 1:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    if image.shape[2] == 4:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), np.uint8)
    raise ImageError(f"{source}: has {image.shape[2]} channels; 1, 3 and 4 are supported")
