"""Functions that read options of camera URIs. Each gets an option's name and text, and returns its value."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from edge_inspect.edge.errors import CameraError
from edge_inspect.edge.frame.fit_modes import DEPTHS

Reader = Callable[[str, str], Any]
"""Function of an option's name and text that returns its value. It raises `CameraError` if the text is not valid."""


def rate(name: str, text: str) -> float:
    """Return a number that is not negative, such as frames per second."""
    value = number(name, text)
    if value < 0:
        raise CameraError(f"camera option {name}={text} must be at least 0")
    return value


def number(name: str, text: str) -> float:
    """Return a finite number."""
    try:
        value = float(text)
    except ValueError as error:
        raise CameraError(f"camera option {name}={text} is not a number") from error
    if value - value != 0:
        raise CameraError(f"camera option {name}={text} is not finite")
    return value


def seconds(name: str, text: str) -> float:
    """Return a time to wait, in seconds."""
    value = number(name, text)
    if not 0.1 <= value <= 3600:
        raise CameraError(f"camera option {name}={text} must be 0.1 to 3600, in seconds")
    return value


def flag(name: str, text: str) -> bool:
    """Return `True` or `False`."""
    if text.lower() not in ("true", "false"):
        raise CameraError(f"camera option {name}={text} must be true or false")
    return text.lower() == "true"


def depth(name: str, text: str) -> int:
    """Return the number of bits that the values of 16-bit pixels use."""
    if text not in map(str, DEPTHS):
        raise CameraError(f"camera option {name}={text} must be one of {', '.join(map(str, DEPTHS))}")
    return int(text)


def word(name: str, text: str) -> str:
    """Return a text that is not empty."""
    if not text:
        raise CameraError(f"camera option {name}= is empty")
    return text


def size(name: str, text: str) -> tuple[int, int]:
    """Return width and height in pixels."""
    if not (match := re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text, re.ASCII)):
        raise CameraError(f"camera option {name}={text} must be WIDTHxHEIGHT, such as 1280x720")
    return int(match[1]), int(match[2])


def region(name: str, text: str) -> tuple[int, int, int, int]:
    """Return x, y, width and height in pixels of the sensor."""
    if not re.fullmatch(r"\d{1,6}(,\d{1,6}){3}", text, re.ASCII):
        raise CameraError(f"camera option {name}={text} must be X,Y,WIDTH,HEIGHT, such as 0,100,640,480")
    x, y, width, height = (int(part) for part in text.split(","))
    return x, y, width, height
