"""How camera URIs are taken apart, into what they point at, the name that messages show, and the options' text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from edge_inspect.edge.errors import CameraError


class Parts(NamedTuple):
    """A camera URI in its parts.

    Attributes:
        path: What it points at.
        shown: How messages name the camera: nothing that may hold a password.
        options: `name=value`, with & between them.
    """

    path: str
    shown: str
    options: str


Split = Callable[[str, str], Parts]
"""Takes the scheme and what follows its colon; raises `CameraError` where that cannot be taken apart."""


def split_path(scheme: str, rest: str) -> Parts:
    """Split `PATH?options`. urlsplit would drop tabs, line ends and '#', which names of folders may hold."""
    path, _, options = rest.removeprefix("//").partition("?")
    path = unquote(path)
    return Parts(path, f"{scheme}:{path}", options)


def split_url(scheme: str, rest: str) -> Parts:
    """Split `//HOST/PATH#options`: the address of a stream may hold a '?' of its own."""
    path, options = _split_hash(f"{scheme}:{rest}")
    return Parts(path, _host(path), options)


def split_pipeline(scheme: str, rest: str) -> Parts:
    """Split `PIPELINE#options`: a pipeline may hold anything."""
    path, options = _split_hash(rest)
    path = path.strip()
    return Parts(path, f"{scheme}:{path.split()[0] if path else ''}", options)


def _split_hash(text: str) -> tuple[str, str]:
    head, mark, tail = text.rpartition("#")
    return (head, tail) if mark and re.fullmatch(r"\w+=[^#\s]*", tail) else (text, "")


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
