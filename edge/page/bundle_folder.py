"""The bundles that a station can load: those in the folder that stations and the page share."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.bundle.promise import promise_of
from edge_inspect.edge.bundle.search import find_bundles
from edge_inspect.edge.errors import BundleError
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

_MOST = 500


class _Place(NamedTuple):
    """A folder or .zip: its name, the time of its last change in nanoseconds, and its inode."""

    name: str
    changed: int
    inode: int


class BundleFolder:
    """Lists the bundles below a folder. May be used from any thread.

    A bundle never changes, so each is opened once, as long as its file is the same.

    Args:
        folder: The folder; `None`: there are no bundles.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[_Place, dict[str, Any]] = {}

    def bundles(self) -> list[dict[str, Any]]:
        """Return name, digest, parent, time and promise of each bundle, the newest first.

        Folders and files that are no bundles are left out.
        """
        if self._folder is None:
            return []
        found: dict[_Place, dict[str, Any]] = {}
        for place in _places(self._folder):
            # What is no bundle may be one that is being copied, so it is looked at again the next time.
            described = self._known.get(place) or _describe(self._folder / place.name)
            if described is not None:
                found[place] = described
        self._known = found
        return sorted(found.values(), key=lambda bundle: str(bundle["made_at"]), reverse=True)


def _places(folder: Path) -> list[_Place]:
    """Return what may be a bundle."""
    places = []
    try:
        for entry in folder.iterdir():
            if not entry.name.startswith(".") and (entry.is_dir() or entry.suffix == ".zip"):
                facts = entry.stat()
                places.append(_Place(entry.name, facts.st_mtime_ns, facts.st_ino))
    except OSError as error:
        log.warning("bundles: %s cannot be read: %s", folder, error.strerror)
    return sorted(places, key=lambda place: -place.changed)[:_MOST]


def _describe(path: Path) -> dict[str, Any] | None:
    try:
        bundle = open_bundle(path)
    except BundleError as error:
        log.warning("bundles: %s is left out: %s", clean(path), clean(str(error)))
        return None
    return {
        "name": path.name,
        "digest": bundle.digest,
        "parent": _parent(bundle),
        "made_at": bundle.manifest.created,
        "promise": promise_of(bundle.manifest).lines,
    }


def _parent(bundle: Bundle) -> dict[str, str] | None:
    """Return the bundle from which a bundle was taught; `None` if it was not."""
    parent = bundle.manifest.provenance.get("parent")
    if not isinstance(parent, dict):
        return None
    name, digest = parent.get("name"), parent.get("digest")
    return {"name": name, "digest": digest} if isinstance(name, str) and isinstance(digest, str) else None


def find_bundle(folder: Path | None, digest: str) -> Path | None:
    """Return the path of the bundle with a digest in a folder; `None` if there is none. The bundle is not checked."""
    return None if folder is None else next(find_bundles(folder, digest), None)
