"""Pictures as browsers get them: scaled to a width, and maps as colours that lie over the picture."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.page.pictures import SIGNATURES

WIDTHS = (160, 320, 640, 1280, 2560)
"""Widths to which pictures are scaled, so that few different ones are made of each picture."""
_QUALITY = 85
_LARGEST_SIDE = 2**14
_LARGEST_MAP = 2**22
# Share of the threshold at which the map begins to be seen, and at which its colour covers most.
_VISIBLE, _STRONGEST = 0.5, 1.25
_MOST_OPAQUE = 170
_THRESHOLD = 128
"""Grey level of the threshold in a map."""


class CannotDraw(Exception):
    """A picture is damaged, or too large to be decoded."""


def rounded_width(width: int) -> int:
    """Return the smallest of `WIDTHS` that is enough; the largest one if none is."""
    return next((each for each in WIDTHS if each >= width), WIDTHS[-1])


def to_jpeg(picture: bytes, width: int | None) -> bytes:
    """Return a JPEG of a picture, which is JPEG, or PNG as evidence is.

    Args:
        picture: The picture's file.
        width: Largest width in pixels; `None` keeps the width.

    Raises:
        CannotDraw: The picture is damaged or too large.
    """
    if picture.startswith(SIGNATURES["picture"]):
        return picture if width is None else scale(picture, width)
    own_width, own_height = png_size(picture)
    _check_size(own_width, own_height)
    drawn = _decode(picture, cv2.IMREAD_COLOR)
    if width is not None and own_width > width:
        height = max(1, round(own_height * width / own_width))
        drawn = np.asarray(cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return bytes(cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])


def scale(jpeg: bytes, width: int) -> bytes:
    """Return a JPEG at most `width` pixels wide; the same bytes if it is not wider.

    Raises:
        CannotDraw: The picture is damaged or too large.
    """
    own_width, own_height = jpeg_size(jpeg)
    if own_width <= width:
        return jpeg
    _check_size(own_width, own_height)
    # libjpeg decodes at a half, a quarter or an eighth of the size in a fraction of the time.
    reductions = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))
    flag = next((flag for by, flag in reductions if own_width >= by * width), cv2.IMREAD_COLOR)
    picture = _decode(jpeg, flag)
    height = max(1, round(own_height * width / own_width))
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])


def colour_map(png: bytes) -> bytes:
    """Return a grey map as PNG with colours: transparent where it is low, orange to red and opaque where it is high.

    Args:
        png: 8-bit grey PNG in the plane of the frame, in which 128 is the threshold and 255 twice the threshold.

    Raises:
        CannotDraw: The map is damaged or too large.
    """
    width, height = png_size(png)
    if width * height > _LARGEST_MAP:
        raise CannotDraw(f"the map has {width}x{height} pixels; a station sends at most 320 pixels a line")
    return bytes(cv2.imencode(".png", _COLOURS[_decode(png, cv2.IMREAD_GRAYSCALE)])[1])


def png_size(png: bytes) -> tuple[int, int]:
    """Return width and height of a PNG in pixels.

    Raises:
        CannotDraw: It is no PNG.
    """
    if not png.startswith(SIGNATURES["map"]) or png[12:16] != b"IHDR" or len(png) < 24:
        raise CannotDraw("the file is no PNG, or is damaged")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """Return width and height of a JPEG in pixels, from its frame header.

    Raises:
        CannotDraw: It has no frame header.
    """
    at = 2
    while at + 9 <= len(jpeg):
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at] != 0xFF or length < 2:
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", jpeg[at + 5 : at + 9])
            if width and height:
                return width, height
            break
        at += 2 + length
    raise CannotDraw("the picture is no JPEG, or is damaged")


def _check_size(width: int, height: int) -> None:
    if max(width, height) > _LARGEST_SIDE:
        raise CannotDraw(f"the picture has {width}x{height} pixels, and {_LARGEST_SIDE} a side are the limit")


def _decode(data: bytes, flag: int) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if picture is None:
        raise CannotDraw("the picture is damaged")
    return np.asarray(picture, np.uint8)


def _colours() -> NDArray[np.uint8]:
    """Return (256, 4) BGRA: the colour of each grey level of a map."""
    level = np.arange(256) / _THRESHOLD
    strength = np.clip((level - _VISIBLE) / (_STRONGEST - _VISIBLE), 0, 1)
    green = np.clip(200 - 200 * (level - _VISIBLE) / (2 - _VISIBLE), 0, 200)
    return np.stack([np.zeros(256), green, np.full(256, 255), _MOST_OPAQUE * strength], axis=1).astype(np.uint8)


_COLOURS = _colours()
