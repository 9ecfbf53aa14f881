"""Conversion of machine vision pixel formats to frames. Formats have the names of GenICam's PFNC."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import CameraError, ImageError
from edge_inspect.edge.frame.images import Frame, to_frame

_UNPACKED = {"Mono10": 2, "Mono12": 4, "Mono14": 6}
"""Formats of two bytes per pixel, and the number of bits by which they exceed eight."""
_CONVERTED = {
    "Mono8": (1, cv2.COLOR_GRAY2BGR),
    "BayerRG8": (1, cv2.COLOR_BayerRGGB2BGR),
    "BayerGB8": (1, cv2.COLOR_BayerGBRG2BGR),
    "BayerGR8": (1, cv2.COLOR_BayerGRBG2BGR),
    "BayerBG8": (1, cv2.COLOR_BayerBGGR2BGR),
    "RGB8": (3, cv2.COLOR_RGB2BGR),
    "RGB8Packed": (3, cv2.COLOR_RGB2BGR),
    "BGR8": (3, None),
    "BGR8Packed": (3, None),
    "RGBa8": (4, cv2.COLOR_RGBA2BGR),
    "BGRa8": (4, cv2.COLOR_BGRA2BGR),
    "YUV422_8": (2, cv2.COLOR_YUV2BGR_YUYV),
    "YUV422_8_UYVY": (2, cv2.COLOR_YUV2BGR_UYVY),
}
"""Bytes per pixel of each format, and the OpenCV conversion to BGR; `None` if it is BGR already."""
FORMATS = (*_CONVERTED, *_UNPACKED, "Mono16")


def check_format(name: str, form: str) -> None:
    """Check that a camera's pixel format can be converted to frames.

    Raises:
        CameraError: It cannot; the message lists the formats that can.
    """
    if form not in FORMATS:
        raise CameraError(f"camera {name}: format {form} is not supported; use one of {', '.join(FORMATS)}")


def to_bgr(data: NDArray[np.uint8], width: int, height: int, form: str, buffer: Frame | None) -> Frame:
    """Return the frame that a camera's bytes hold. The bytes are copied.

    Args:
        data: Bytes of the picture, (bytes,) uint8, row after row without padding.
        width: Width in pixels.
        height: Height in pixels.
        form: Name of the pixel format, one of `FORMATS`.
        buffer: An earlier frame whose memory may be reused.

    Raises:
        ImageError: There are fewer bytes than the format needs.
    """
    depth = _CONVERTED[form][0] if form in _CONVERTED else 2
    size = width * height * depth
    if data.size < size:
        raise ImageError(f"a frame of {data.size} bytes is no {width}x{height} {form}")
    if form not in _CONVERTED:
        deep = data[:size].view("<u2").reshape(height, width)
        return to_frame(deep if form == "Mono16" else (deep >> _UNPACKED[form]).astype(np.uint8))
    pixels = data[:size].reshape((height, width) if depth == 1 else (height, width, depth))
    if buffer is None or buffer.shape != (height, width, 3):
        buffer = np.empty((height, width, 3), np.uint8)
    code = _CONVERTED[form][1]
    if code is None:
        np.copyto(buffer, pixels)
        return buffer
    return np.asarray(cv2.cvtColor(pixels, code, buffer), np.uint8)
