"""The store's SQLite file: locks it for the one process that writes, opens it, and sets a damaged one aside."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from edge_inspect.edge import sqlite_file
from edge_inspect.edge.errors import LabelError
from edge_inspect.edge.sqlite_file import check, is_damage, is_empty, set_aside

log = logging.getLogger(__name__)

_APPLICATION_ID = 0x45494C42
_FORMAT = 1
COLUMNS = (
    "id, at, by, word, defect_class, site, line, station, part, verdict, picture, picture_sha256, map, undoes, "
    "published"
)
_SCHEMA = f"""
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE labels (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, at TEXT NOT NULL, by TEXT NOT NULL, word TEXT,
    defect_class TEXT, site TEXT NOT NULL, line TEXT NOT NULL, station TEXT NOT NULL, part TEXT NOT NULL,
    verdict TEXT NOT NULL, picture TEXT NOT NULL, picture_sha256 TEXT NOT NULL, map TEXT, undoes TEXT,
    published INTEGER NOT NULL DEFAULT 0);
CREATE INDEX labels_part ON labels (site, line, station, part, number);
CREATE INDEX labels_by ON labels (by, number);
CREATE UNIQUE INDEX labels_undoes ON labels (undoes) WHERE undoes IS NOT NULL;
CREATE INDEX labels_unpublished ON labels (number) WHERE published = 0;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_FORMAT};
COMMIT;
"""
_WAIT_S = 5.0


def lock(path: Path) -> int:
    """Lock the store for this process until the returned file descriptor is closed.

    Raises:
        LabelError: The folder cannot be written to, or another process holds the lock.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return sqlite_file.lock(path)
    except sqlite_file.InUse as owner:
        raise LabelError(
            f"labels {path}: {owner} uses them; stop that process, or give each page its own folder of data"
        ) from owner
    except OSError as problem:
        raise LabelError(f"labels {path}: {problem.strerror}; let this user write to {path.parent}") from problem


def open_for_writing(path: Path) -> tuple[sqlite3.Connection, Path | None]:
    """Open or create the file. A damaged file is renamed, and what can still be read of it moves to a new one.

    Returns:
        The connection, and the new path of the damaged file; `None` if it was not damaged.

    Raises:
        LabelError: The file belongs to another program or version, or cannot be opened.
    """
    try:
        return _verified(path, create=True), None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as damage:
        if not is_damage(damage):
            raise LabelError(f"labels {path}: {damage}; {_remedy(path)}") from damage
        aside = set_aside(path)
        connection = _verified(path, create=True)
        kept = _salvage(connection, aside)
        log.error(
            "labels %s: the file is damaged (%s); it was renamed to %s, and %d labels were read from it; "
            "restore a backup if there were more",
            path,
            damage,
            aside,
            kept,
        )
        return connection, aside


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the file without changing it, also while another process writes to it.

    Raises:
        LabelError: The file is missing, damaged, or belongs to another program or version.
    """
    if not path.is_file():
        raise LabelError(f"labels {path}: there is no such file; give the folder of a page's labels")
    try:
        return _verified(path, create=False)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as problem:
        raise LabelError(f"labels {path}: {problem}; {_remedy(path)}") from problem


def full(path: Path, problem: Exception) -> LabelError:
    """Return the error for a label that could not be written, with the remedy."""
    reason = problem.strerror if isinstance(problem, OSError) else str(problem)
    return LabelError(f"labels {path}: {reason}; the label is not saved; {_remedy(path)}, and label the part again")


def _remedy(path: Path) -> str:
    return f"free space on the disk, or let this user read and write {path.parent}"


def _verified(path: Path, *, create: bool) -> sqlite3.Connection:
    connection = _connect(path, create=create)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if create and is_empty(connection) and application == 0:
            connection.executescript(_SCHEMA)
        elif application != _APPLICATION_ID:
            raise LabelError(f"labels {path}: this is the SQLite file of another program; name another folder")
        elif version != _FORMAT:
            raise LabelError(
                f"labels {path}: format {version}, but this version knows format {_FORMAT}; "
                "use the version of edge-inspect that wrote it"
            )
        else:
            check(connection, _SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, *, create: bool) -> sqlite3.Connection:
    if create:
        address = path.absolute().as_uri()
    else:
        # On a disk that cannot be written, SQLite could not make the file for the readers of the log.
        still = not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
        address = f"{path.absolute().as_uri()}?{'immutable=1' if still else 'mode=ro'}"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, timeout=_WAIT_S)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _salvage(connection: sqlite3.Connection, damaged: Path) -> int:
    """Copy the rows of a damaged file that can still be read; return their number."""
    kept = 0
    places = ", ".join("?" * len(COLUMNS.split(",")))
    unreadable = (sqlite3.Error, UnicodeDecodeError)
    with suppress(*unreadable), closing(sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True)) as old:
        for row in old.execute(f"SELECT {COLUMNS} FROM labels ORDER BY number"):
            with suppress(sqlite3.Error):  # a row with impossible values
                connection.execute(f"INSERT INTO labels ({COLUMNS}) VALUES ({places})", row)
                kept += 1
    return kept
