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
    """A camera URI, taken apart: what it points at, and its options."""

    path: str
    options: dict[str, str]

    def number(self, name: str, default: float, least: float) -> float:
        """A numeric option.

        Raises:
            CameraError: It is no number, or too small.
        """
        text = self.options.get(name, str(default))
        try:
            value = float(text)
        except ValueError as error:
            raise CameraError(f"camera option {name}={text} is no number") from error
        if not least <= value < float("inf"):
            raise CameraError(f"camera option {name}={text} must be at least {least:g}")
        return value

    def flag(self, name: str) -> bool:
        """An option that is true or false.

        Raises:
            CameraError: It is neither.
        """
        text = self.options.get(name, "false").lower()
        if text not in ("true", "false"):
            raise CameraError(f"camera option {name}={text} must be true or false")
        return text == "true"


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

    schemes: dict[str, tuple[Callable[[Address], Camera], set[str]]] = {
        "folder": (FolderCamera, {"fps", "loop"}),
        "video": (VideoCamera, {"fps", "loop"}),
    }
    try:
        parts = urlsplit(uri, allow_fragments=False)  # a folder's name may hold a '#'
    except ValueError as error:
        raise CameraError(f"camera {uri!r}: is no URI: {error}") from error
    if parts.scheme not in schemes:
        raise CameraError(f"camera {uri!r}: the scheme must be one of {', '.join(f'{s}:' for s in schemes)}")
    maker, known = schemes[parts.scheme]
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - known):
        raise CameraError(f"camera {uri!r}: unknown option {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    path = unquote(parts.netloc + parts.path)
    if not path:
        raise CameraError(f"camera {uri!r}: names no path")
    return maker, Address(path, options)
