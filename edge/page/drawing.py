"""Pictures as browsers get them: scaled to a width, and maps as colours that lie over the picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.frame.images import jpeg, png
from edge_inspect.edge.frame.images.facts import Unreadable
from edge_inspect.edge.frame_map import AT_THRESHOLD

WIDTHS = (160, 320, 640, 1280, 2560)
"""Widths to which pictures are scaled, so that few different ones are made of each picture."""
_QUALITY = 85
_LARGEST_SIDE = 2**14
_LARGEST_MAP = 2**22
# Share of the threshold at which the map begins to be seen, and at which its colour covers most.
_VISIBLE, _STRONGEST = 0.5, 1.25
_MOST_OPAQUE = 170


class CannotDraw(Exception):
    """A picture is damaged, or too large to be decoded."""


def rounded_width(width: int) -> int:
    """Return the smallest of `WIDTHS` that is enough; the largest one if none is."""
    return next((each for each in WIDTHS if each >= width), WIDTHS[-1])


def to_jpeg(picture: bytes, width: int | None = None) -> bytes:
    """Return a picture as JPEG; the same bytes if it is a JPEG that is not too wide.

    Args:
        picture: The picture's file: JPEG, or PNG as evidence is.
        width: Largest width in pixels; `None` keeps the width.

    Raises:
        CannotDraw: The picture is damaged or too large.
    """
    own_width, own_height = _size(picture)
    width = own_width if width is None else min(width, own_width)
    is_jpeg = picture.startswith(jpeg.SIGNATURE)
    if is_jpeg and width == own_width:
        return picture
    if max(own_width, own_height) > _LARGEST_SIDE:
        raise CannotDraw(f"the picture has {own_width}x{own_height} pixels, and {_LARGEST_SIDE} a side are the limit")
    # libjpeg decodes at a half, a quarter or an eighth of the size in a fraction of the time.
    reductions = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))
    flag = next((flag for by, flag in reductions if is_jpeg and own_width >= by * width), cv2.IMREAD_COLOR)
    drawn = _decode(picture, flag)
    if drawn.shape[1] > width:
        height = max(1, round(own_height * width / own_width))
        drawn = np.asarray(cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return bytes(cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])


def colour_map(levels: bytes) -> bytes:
    """Return a grey map as PNG with colours: transparent where it is low, orange to red and opaque where it is high.

    Args:
        levels: 8-bit grey PNG in the plane of the frame, in which 128 is the threshold and 255 twice the threshold.

    Raises:
        CannotDraw: The map is damaged or too large.
    """
    width, height = _size(levels)
    if width * height > _LARGEST_MAP:
        raise CannotDraw(f"the map has {width}x{height} pixels; a station sends at most 320 pixels a line")
    return bytes(cv2.imencode(".png", _COLOURS[_decode(levels, cv2.IMREAD_GRAYSCALE)])[1])


def _size(picture: bytes) -> tuple[int, int]:
    """Return width and height in pixels."""
    try:
        return jpeg.size(picture) if picture.startswith(jpeg.SIGNATURE) else png.size(picture)
    except Unreadable as problem:
        raise CannotDraw(f"the picture {problem}") from problem


def _decode(data: bytes, flag: int) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if picture is None:
        raise CannotDraw("the picture is damaged")
    return np.asarray(picture, np.uint8)


def _colours() -> NDArray[np.uint8]:
    """Return (256, 4) BGRA: the colour of each grey level of a map."""
    level = np.arange(256) / AT_THRESHOLD
    strength = np.clip((level - _VISIBLE) / (_STRONGEST - _VISIBLE), 0, 1)
    green = np.clip(200 - 200 * (level - _VISIBLE) / (2 - _VISIBLE), 0, 200)
    return np.stack([np.zeros(256), green, np.full(256, 255), _MOST_OPAQUE * strength], axis=1).astype(np.uint8)


_COLOURS = _colours()
