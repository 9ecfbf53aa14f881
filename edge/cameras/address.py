"""The parts of a camera URI, as the code that opens the camera gets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Address:
    """A camera URI, taken apart.

    Attributes:
        path: What it points at.
        shown: How messages name the camera: nothing that may hold a password.
        fps: Frames a second; of a recorded source 0 is as fast as they are taken; `None` the source's own rate.
        loop: A recorded source begins again at its end.
        bits: How many bits the values of 16-bit picture files use, where the files do not say.
        exposure: In microseconds.
        gain: In the camera's own unit.
        size: Width and height, in pixels.
        region: X, y, width and height of the part of the sensor that is read, in pixels.
        format: The camera's name of a pixel format.
        trigger: What the camera itself waits for before each frame: one of its lines, or `software`.
        device: Serial number of one of a producer's cameras.
        timeout: Seconds without a frame after which the source counts as lost.
        others: Options that one kind of camera has for itself, by name.
    """

    path: str
    shown: str = ""
    fps: float | None = None
    loop: bool = False
    bits: int | None = None
    exposure: float | None = None
    gain: float | None = None
    size: tuple[int, int] | None = None
    region: tuple[int, int, int, int] | None = None
    format: str | None = None
    trigger: str | None = None
    device: str | None = None
    timeout: float = 2.0
    others: Mapping[str, Any] = field(default_factory=dict)
