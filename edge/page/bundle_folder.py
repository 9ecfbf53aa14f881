"""The bundles that a station can load: those in the folder that stations and the page share."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.bundle.promise import promise_of
from edge_inspect.edge.errors import BundleError
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

_MOST = 500


class BundleFolder:
    """Lists the bundles below a folder. May be used from any thread.

    A bundle never changes, so each is opened once, as long as its file is the same.

    Args:
        folder: The folder; `None`: there are no bundles.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[tuple[str, int, int], dict[str, Any] | None] = {}

    def list(self) -> list[dict[str, Any]]:
        """Return name, digest, parent, time and promise of each bundle, the newest first.

        Folders and files that are no bundles are left out.
        """
        found = {place: self._known.get(place, ()) for place in self._places()}
        self._known = {
            place: _describe(self._folder / place[0]) if known == () else known  # type: ignore[operator, misc]
            for place, known in found.items()
        }
        bundles = [bundle for bundle in self._known.values() if bundle is not None]
        return sorted(bundles, key=lambda bundle: bundle["made_at"], reverse=True)

    def _places(self) -> list[tuple[str, int, int]]:
        """Return name, time and inode of what may be a bundle."""
        if self._folder is None:
            return []
        places = []
        try:
            for entry in self._folder.iterdir():
                if not entry.name.startswith(".") and (entry.is_dir() or entry.suffix == ".zip"):
                    facts = entry.stat()
                    places.append((entry.name, facts.st_mtime_ns, facts.st_ino))
        except OSError as error:
            log.warning("bundles: %s cannot be read: %s", self._folder, error.strerror)
        return sorted(places, key=lambda place: -place[1])[:_MOST]


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
