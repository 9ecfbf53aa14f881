"""Camera URIs, taken apart: what each scheme points at and the options it knows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from edge_inspect.edge.errors import CameraError
from edge_inspect.edge.frame.fit_modes import DEPTHS

SCHEMES: dict[str, tuple[str, ...]] = {
    "folder": ("fps", "loop", "bits"),
    "video": ("fps", "loop"),
    "v4l2": ("exposure", "gain", "size", "format", "fps", "timeout"),
    "rtsp": ("timeout",),
    "rtsps": ("timeout",),
    "gst": ("timeout",),
    "aravis": ("exposure", "gain", "size", "region", "format", "fps", "trigger", "timeout"),
    "genicam": ("device", "exposure", "gain", "size", "region", "format", "fps", "trigger", "timeout"),
}
"""The options of each scheme."""


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


def parse_uri(uri: str) -> tuple[str, Address]:
    """Take a camera URI apart, into its scheme and the address.

    Raises:
        CameraError: The scheme or an option is unknown, or a value is not what the option takes.
    """
    scheme, _, rest = uri.partition(":")
    scheme = scheme.lower()
    if scheme not in SCHEMES:
        raise CameraError(f"camera {hide(uri)!r}: the scheme must be one of {', '.join(f'{s}:' for s in SCHEMES)}")
    # A stream's own address may hold a '?', and a pipeline anything: there the options follow a '#'.
    split = _split_stream if scheme in ("rtsp", "rtsps", "gst") else _split_path
    path, query = split(scheme, rest)
    shown = f"{scheme}:{path}"
    if scheme == "gst":
        shown = f"gst:{path.split()[0] if path else ''}"
    elif scheme.startswith("rtsp"):
        shown = _host(path)
    if not path and scheme != "aravis":
        raise CameraError(f"camera {shown!r}: names no path")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(options.keys() - set(SCHEMES[scheme])):
        known = ", ".join(SCHEMES[scheme])
        where = "; a ? in the path itself is written %3F" if scheme in ("folder", "video") else ""
        raise CameraError(f"camera {shown!r}: unknown option {', '.join(unknown)}; there are {known}{where}")
    values: dict[str, Any] = {name: _READ.get(name, _text)(name, text) for name, text in options.items()}
    if values.get("size") and values.get("region"):
        raise CameraError(f"camera {shown!r}: has both size and region; the region has the size in it: leave size out")
    return scheme, Address(path, shown, **values)


def hide(uri: str) -> str:
    """Return the URI without what may be a user and a password."""
    return re.sub(r"//.*@", "//", uri, flags=re.DOTALL)


def _split_path(_scheme: str, rest: str) -> tuple[str, str]:
    """Return path and options. urlsplit would drop tabs, line ends and '#', which names of folders may hold."""
    path, _, options = rest.removeprefix("//").partition("?")
    return unquote(path), options


def _split_stream(scheme: str, rest: str) -> tuple[str, str]:
    head, mark, tail = rest.rpartition("#")
    if not mark or not re.fullmatch(r"\w+=[^#\s]*", tail):
        head, tail = rest, ""
    return (head.strip() if scheme == "gst" else f"{scheme}:{head}"), tail


def _host(url: str) -> str:
    """Return the scheme, host and port alone: cameras take passwords in the path and the query too."""
    try:
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError("it names no host")
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise CameraError(f"camera {url.partition(':')[0]}: is no URL: it needs //host:port/path") from error
    return f"{parts.scheme}://{parts.hostname}{port}"


def _rate(name: str, text: str) -> float:
    value = _number(name, text)
    if value < 0:
        raise CameraError(f"camera option {name}={text} must be at least 0")
    return value


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise CameraError(f"camera option {name}={text} is no number") from error
    if value - value != 0:
        raise CameraError(f"camera option {name}={text} is not finite")
    return value


def _seconds(name: str, text: str) -> float:
    value = _number(name, text)
    if not 0.1 <= value <= 3600:
        raise CameraError(f"camera option {name}={text} must be 0.1 to 3600, in seconds")
    return value


def _flag(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise CameraError(f"camera option {name}={text} must be true or false")
    return text.lower() == "true"


def _depth(name: str, text: str) -> int:
    if text not in map(str, DEPTHS):
        raise CameraError(f"camera option {name}={text} must be one of {', '.join(map(str, DEPTHS))}")
    return int(text)


def _text(name: str, text: str) -> str:
    if not text:
        raise CameraError(f"camera option {name}= is empty")
    return text


def _size(name: str, text: str) -> tuple[int, int]:
    if not (match := re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text, re.ASCII)):
        raise CameraError(f"camera option {name}={text} must be WIDTHxHEIGHT, such as 1280x720")
    return int(match[1]), int(match[2])


def _region(name: str, text: str) -> tuple[int, int, int, int]:
    if not re.fullmatch(r"\d{1,6}(,\d{1,6}){3}", text, re.ASCII):
        raise CameraError(f"camera option {name}={text} must be X,Y,WIDTH,HEIGHT, such as 0,100,640,480")
    x, y, width, height = (int(number) for number in text.split(","))
    return x, y, width, height


_READ: dict[str, Callable[[str, str], Any]] = {
    "fps": _rate,
    "loop": _flag,
    "bits": _depth,
    "exposure": _number,
    "gain": _number,
    "size": _size,
    "region": _region,
    "timeout": _seconds,
}
