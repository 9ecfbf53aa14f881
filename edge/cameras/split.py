"""Functions that split camera URIs into the path, the name shown in messages, and the text of the options."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from edge_inspect.edge.errors import CameraError


class UriParts(NamedTuple):
    """The parts of a camera URI.

    Attributes:
        path: Path, URL, pipeline or serial number of the camera, depending on the scheme.
        shown: Name of the camera in messages. It holds no part of the URI that may be a password.
        options: The options as text, `name=value` separated by `&`.
    """

    path: str
    shown: str
    options: str


Split = Callable[[str, str], UriParts]
"""Function of the scheme and the text after its colon. It raises `CameraError` if it cannot split that text."""


def split_path(scheme: str, rest: str) -> UriParts:
    """Split `PATH?options`. `urlsplit` would drop tabs, line ends and '#', which names of folders may contain."""
    path, _, options = rest.removeprefix("//").partition("?")
    path = unquote(path)
    return UriParts(path, f"{scheme}:{path}", options)


def split_url(scheme: str, rest: str) -> UriParts:
    """Split `//HOST/PATH#options`. Options follow '#', because the URL of a stream may contain a '?' itself."""
    path, options = _split_hash(f"{scheme}:{rest}")
    return UriParts(path, _host(path), options)


def split_pipeline(scheme: str, rest: str) -> UriParts:
    """Split `PIPELINE#options`. Options follow the last '#', because a pipeline may contain any other character."""
    path, options = _split_hash(rest)
    path = path.strip()
    return UriParts(path, f"{scheme}:{path.split()[0] if path else ''}", options)


def _split_hash(text: str) -> tuple[str, str]:
    head, mark, tail = text.rpartition("#")
    return (head, tail) if mark and re.fullmatch(r"\w+=[^#\s]*", tail) else (text, "")


def _host(url: str) -> str:
    """Return only scheme, host and port, because some cameras expect passwords in the path or the query."""
    try:
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError("it names no host")
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise CameraError(f"camera {url.partition(':')[0]}: is no URL: it needs //host:port/path") from error
    return f"{parts.scheme}://{parts.hostname}{port}"
