"""Lists the parts in folders of evidence, and asks the disk only about folders that have changed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from edge_inspect.edge.contract.ids import is_uuid7
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

# A change within this time of a listing may leave the folder's time as it was.
_COARSE_NS = 3_000_000_000


class FolderChange(NamedTuple):
    """Ids that have come to one station's folder of one day, and those that have gone. The newest come first."""

    folder: Path
    came: list[str]
    gone: list[str]


class EvidenceListing:
    """The ids in one folder of evidence, as far as they were listed. Used by one thread; changes nothing on disk.

    Args:
        root: The folder of evidence.
        known: Ids that need not be listed as new, by station's folder.
    """

    def __init__(self, root: Path, known: Mapping[Path, set[str]]) -> None:
        self._root = root
        self._ids = {folder: set(ids) for folder, ids in known.items() if root in folder.parents}
        self._times: dict[Path, int] = {}

    def changes(self) -> Iterator[FolderChange]:
        """Yield what has changed since the last call, newest days first.

        A folder that cannot be read changes nothing: a disk that is away for a while costs no part.
        """
        try:
            folders = sorted(_folders(self._root), key=lambda folder: folder.parent.name, reverse=True)
        except FileNotFoundError:
            folders = []
        except OSError as problem:
            log.warning("evidence %s cannot be read: %s", clean(self._root), problem.strerror)
            return
        for folder in folders:
            yield from self._of_folder(folder)
        for folder in self._ids.keys() - set(folders):
            self._times.pop(folder, None)
            yield FolderChange(folder, [], sorted(self._ids.pop(folder)))

    def _of_folder(self, folder: Path) -> Iterator[FolderChange]:
        now = time.time_ns()
        try:
            changed = os.stat(folder / "verdicts").st_mtime_ns
            if self._times.get(folder) == changed:
                return
            found = {name[:-5] for name in os.listdir(folder / "verdicts") if name.endswith(".json")}
        except OSError:  # deleted meanwhile, or without a verdict yet
            changed, found = 0, set()
        found = {identity for identity in found if is_uuid7(identity)}
        before = self._ids.get(folder, set())
        self._ids[folder] = found
        if changed < now - _COARSE_NS:
            self._times[folder] = changed
        if found != before:
            yield FolderChange(folder, sorted(found - before, reverse=True), sorted(before - found))


def _folders(root: Path) -> Iterator[Path]:
    """Yield the folders of all days and stations; links and names that are no UTF-8 are left out."""
    for day in _inside(root):
        try:
            yield from _inside(day)
        except OSError:  # deleted meanwhile
            continue


def _inside(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [
            folder / entry.name
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".") and entry.name.isprintable()
        ]
