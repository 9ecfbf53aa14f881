"""Camera URIs, taken apart: what each scheme points at and the options it knows."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from edge_inspect.edge.cameras.registry import CAMERAS
from edge_inspect.edge.errors import CameraError


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


_COMMON = {each.name for each in dataclasses.fields(Address)} - {"path", "shown", "others"}


def parse_uri(uri: str) -> tuple[str, Address]:
    """Take a camera URI apart, into its scheme and the address.

    Raises:
        CameraError: The scheme or an option is unknown, or a value is not what the option takes.
    """
    scheme, _, rest = uri.partition(":")
    kind = CAMERAS.get(scheme.lower())
    if kind is None:
        raise CameraError(f"camera {hide(uri)!r}: the scheme must be one of {', '.join(f'{s}:' for s in CAMERAS)}")
    path, shown, query = kind.split(kind.scheme, rest)
    if not path and not kind.may_be_empty:
        raise CameraError(f"camera {shown!r}: names no path")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(options.keys() - kind.options.keys()):
        known = ", ".join(kind.options)
        where = "; a ? in the path itself is written %3F" if kind.recorded else ""
        raise CameraError(f"camera {shown!r}: unknown option {', '.join(unknown)}; there are {known}{where}")
    values = {name: kind.options[name](name, text) for name, text in options.items()}
    if values.get("size") and values.get("region"):
        raise CameraError(f"camera {shown!r}: has both size and region; the region has the size in it: leave size out")
    common = {name: value for name, value in values.items() if name in _COMMON}
    others = {name: value for name, value in values.items() if name not in _COMMON}
    return kind.scheme, Address(path, shown, **common, others=others)


def hide(uri: str) -> str:
    """Return the URI without what may be a user and a password."""
    return re.sub(r"//.*@", "//", uri, flags=re.DOTALL)
