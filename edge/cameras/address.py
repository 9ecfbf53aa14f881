"""The parts of a camera URI, as they are given to the code that opens the camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Address:
    """The parts of a camera URI. An option that is `None` was not given: the camera keeps its own setting.

    Attributes:
        path: Path, URL, pipeline or serial number of the camera, depending on the scheme.
        shown: Name of the camera in messages. It holds no part of the URI that may be a password.
        fps: Frame rate in frames per second. For a recorded source 0 means as fast as frames are read, and `None` its
            recorded rate.
        loop: Whether a recorded source starts again when it reaches its end.
        bits: Number of bits that the values of 16-bit picture files use, if the files do not say.
        exposure: Exposure time in microseconds.
        gain: Gain in the camera's own unit.
        size: Width and height of the frame in pixels.
        region: X, y, width and height, in pixels, of the part of the sensor that is read.
        format: Pixel format by the camera's own name.
        trigger: Trigger that the camera itself waits for before each frame: one of its input lines, or `software`.
        device: Serial number of the camera, if a GenTL producer has several.
        timeout: Seconds without a frame after which the source counts as lost.
        others: Options that only one kind of camera has, by name.
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
