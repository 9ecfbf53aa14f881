"""Parse a camera URI, and open the camera that it names."""

from __future__ import annotations

import dataclasses
import re
from urllib.parse import parse_qsl

from edge_inspect.edge.cameras import Camera, Place
from edge_inspect.edge.cameras.address import Address
from edge_inspect.edge.cameras.registry import CAMERAS
from edge_inspect.edge.errors import CameraError

_COMMON = {each.name for each in dataclasses.fields(Address)} - {"path", "shown", "others"}


def open_camera(uri: str, place: Place | None = None) -> Camera:
    """Open the camera that a URI names.

    Args:
        uri: URI of the camera; `edge.cameras` lists the schemes.
        place: Position at which a recorded source continues; without one it begins at the start. Live sources ignore
            it.

    Raises:
        CameraError: The scheme or an option is unknown, the source does not exist, or it refuses a value.
    """
    scheme, address = parse_uri(uri)
    return CAMERAS[scheme].open(address, place or Place())


def check_uri(uri: str) -> None:
    """Check a camera URI without opening the source.

    Raises:
        CameraError: The scheme or an option is unknown.
    """
    parse_uri(uri)


def parse_uri(uri: str) -> tuple[str, Address]:
    """Parse a camera URI into its scheme and its address.

    Raises:
        CameraError: The scheme or an option is unknown, or the value of an option is not valid.
    """
    scheme, _, rest = uri.partition(":")
    kind = CAMERAS.get(scheme.lower())
    if kind is None:
        raise CameraError(f"camera {_hide(uri)!r}: the scheme must be one of {', '.join(f'{s}:' for s in CAMERAS)}")
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


def _hide(uri: str) -> str:
    """Return the URI without the part that may hold a user name and a password."""
    return re.sub(r"//.*@", "//", uri, flags=re.DOTALL)
