"""Cameras: where frames come from, by one URI scheme. Each kind is one file here, behind one small interface.

folder:/path?fps=10&loop=true      the pictures of a folder, sorted by name
video:/path/line.mp4?loop=true     a video file
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from edge.errors import CameraError
from edge.images import Frame


@dataclass(frozen=True)
class Capture:
    """A frame and when it was taken.

    Attributes:
        frame: The picture.
        captured_at: Aware, in UTC, as near the sensor as the source gives.
        part_id: Which part it shows, where the source knows.
    """

    frame: Frame
    captured_at: datetime
    part_id: str | None = None


class Camera(Protocol):
    """Gives frames one after another.

    Attributes:
        live: Frames come at a rate of their own. A source that waits to be asked never comes too fast.
    """

    live: bool

    def read(self, buffer: Frame | None) -> Capture | None:
        """Waits for the next frame; `None` is the end of a source that ends.

        Args:
            buffer: An earlier frame that may be written over.

        Raises:
            CameraError: No frame can be had.
        """

    def close(self) -> None:
        """Lets the source go."""


@dataclass(frozen=True)
class Address:
    """A camera URI, taken apart.

    Attributes:
        path: What it points at.
        fps: Frames a second of a recorded source; 0 is as fast as they are taken, `None` the source's own rate.
        loop: A recorded source begins again at its end.
    """

    path: str
    fps: float | None = None
    loop: bool = False


def open_camera(uri: str) -> Camera:
    """Opens the camera a URI names.

    Raises:
        CameraError: The scheme or an option is unknown, or the source is not there.
    """
    maker, address = _resolve(uri)
    return maker(address)


def check_uri(uri: str) -> None:
    """Checks a camera URI without opening the source.

    Raises:
        CameraError: The scheme or an option is unknown.
    """
    _resolve(uri)


def _resolve(uri: str) -> tuple[Callable[[Address], Camera], Address]:
    from edge.cameras.folder import FolderCamera
    from edge.cameras.video import VideoCamera

    schemes: dict[str, Callable[[Address], Camera]] = {"folder": FolderCamera, "video": VideoCamera}
    try:
        parts = urlsplit(uri, allow_fragments=False)  # a folder's name may hold a '#'
    except ValueError as error:
        raise CameraError(f"camera {uri!r}: is no URI: {error}") from error
    if parts.scheme not in schemes:
        raise CameraError(f"camera {uri!r}: the scheme must be one of {', '.join(f'{s}:' for s in schemes)}")
    path = unquote(parts.netloc + parts.path)
    if not path:
        raise CameraError(f"camera {uri!r}: names no path")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    fps, loop = options.pop("fps", None), options.pop("loop", "false")
    if options:
        raise CameraError(f"camera {uri!r}: unknown option {', '.join(sorted(options))}; there are fps, loop")
    return schemes[parts.scheme], Address(path, None if fps is None else _rate(fps), _flag(loop))


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise CameraError(f"camera option fps={text} is no number") from error
    if not 0 <= value < float("inf"):
        raise CameraError(f"camera option fps={text} must be at least 0")
    return value


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise CameraError(f"camera option loop={text} must be true or false")
    return text.lower() == "true"
