"""The index of a station's stored parts, page by page."""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterator
from pathlib import Path

from edge_inspect.edge.contract.commands import Refused
from edge_inspect.edge.contract.ids import is_uuid7
from edge_inspect.edge.contract.reports import MOST_ROWS, EvidencePage, EvidenceRow, fill_page
from edge_inspect.edge.evidence.folder import station_folder
from edge_inspect.edge.evidence.saved_part import FOLDERS, SUFFIXES, read_part
from edge_inspect.edge.text import clean

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def list_parts(root: Path, station: str, after: str | None = None) -> EvidencePage:
    """Return the oldest stored parts after a cursor, by day and id. Parts whose files are damaged are left out.

    Args:
        root: The folder of evidence.
        station: Name of the station.
        after: `next` of the page before; `None` begins with the oldest part.

    Raises:
        Refused: The cursor is not one of an index of evidence, or the folder cannot be read.
    """
    day, _, identity = (after or "/").partition("/")
    if after is not None and not (_DAY.fullmatch(day) and is_uuid7(identity)):
        raise Refused(
            "impossible", f"after: {after!r} is not the `next` of a page of the evidence; leave it out to begin"
        )
    try:
        # The number of files that one page opens is limited, also if all of them are damaged.
        found = _following(root, station, day, identity, MOST_ROWS + 1)
        rows = [row for each in found[:MOST_ROWS] if (row := _row(root, *each)) is not None]
    except OSError as error:
        raise Refused(
            "impossible", f"evidence.folder cannot be read: {clean(f'{error.filename or root}: {error.strerror}')}"
        ) from error
    page = fill_page(rows)
    following = None
    if len(page) < len(rows):
        following = f"{page[-1].files[0].split('/')[0]}/{page[-1].id}"
    elif len(found) > MOST_ROWS:
        folder, last = found[MOST_ROWS - 1]
        following = f"{folder.parent.name}/{last}"
    return EvidencePage(parts=page, next=following)


def _following(root: Path, station: str, day: str, identity: str, most: int) -> list[tuple[Path, str]]:
    """Return the station's folder of the day, and the id, of the first parts after one, oldest first."""
    found: list[tuple[Path, str]] = []
    for each in sorted(name for name in _names(root) if _DAY.fullmatch(name) and name >= day):
        folder = root / each / station_folder(station)
        ids = {name[:-5] for name in _names(folder / "verdicts") if name.endswith(".json")}
        newer = (one for one in ids if is_uuid7(one) and (each > day or one > identity))
        found += [(folder, one) for one in heapq.nsmallest(most - len(found), newer)]
        if len(found) >= most:
            break
    return found


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):  # nothing was stored yet, or it was deleted meanwhile
        return []


def _row(root: Path, folder: Path, identity: str) -> EvidenceRow | None:
    saved = read_part(folder, identity)
    if saved is None:
        return None
    verdict = saved.verdict
    files = tuple(clean(path.relative_to(root)) for path in _files(folder, identity))
    return EvidenceRow(id=identity, at=verdict.decided_at, ok=verdict.ok, score=verdict.score, files=files)


def _files(folder: Path, identity: str) -> Iterator[Path]:
    """Yield the files of a part: the pictures, the map, and the verdict."""
    for name in FOLDERS:
        for suffix in (*SUFFIXES.values(), ".json"):
            if (path := folder / name / f"{identity}{suffix}").is_file():
                yield path
