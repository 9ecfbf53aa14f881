"""Finds bundles in a folder by their digest."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edge_inspect.edge.bundle.container import open_container
from edge_inspect.edge.bundle.manifest import MANIFEST
from edge_inspect.edge.errors import BundleError

_DEEPEST = 4
"""Number of levels of folders that are searched."""


def manifest_digest(path: Path) -> str | None:
    """Return the digest of the bundle at a path, which is not checked otherwise; `None` if there is no bundle."""
    with contextlib.suppress(OSError, KeyError, ValueError, BundleError):
        return open_container(path, MANIFEST).digest(MANIFEST)
    return None


def find_bundles(folder: Path, digest: str) -> Iterator[Path]:
    """Yield the folders and .zips below a folder that hold a bundle with a digest; they are not checked otherwise.

    Hidden files, and links that lead out of the folder, are left out.
    """
    for path in _candidates(folder, folder.resolve(), _DEEPEST):
        if manifest_digest(path) == digest:
            yield path


def _candidates(folder: Path, top: Path, levels: int) -> Iterator[Path]:
    """Yield all .zips and all folders with a manifest."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = Path(entry.path)
        with contextlib.suppress(OSError, RuntimeError):
            if entry.name.startswith(".") or not path.resolve().is_relative_to(top):
                continue
            if not entry.is_dir():
                if path.suffix == ".zip":
                    yield path
            elif (path / MANIFEST).is_file():
                yield path
            elif levels > 1:
                yield from _candidates(path, top, levels - 1)
