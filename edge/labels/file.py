"""The store's SQLite file: locks it for the one process that writes, opens it, and sets a damaged one aside."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from contextlib import closing, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_inspect.edge.errors import LabelError

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
# Python 3.10 does not report SQLite's error codes. Every other error than these is damage.
_NOT_DAMAGE = {
    "disk I/O error",
    "database or disk is full",
    "unable to open database file",
    "attempt to write a readonly database",
    "database is locked",
    "locking protocol",
    "access permission denied",
}
_WAIT_S = 5.0


def lock(path: Path) -> int:
    """Lock the store for this process until the returned file descriptor is closed.

    Raises:
        LabelError: The folder cannot be written to, or another process holds the lock.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise LabelError(f"labels {path}: {problem.strerror}; let this user write to {path.parent}") from problem
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise LabelError(
            f"labels {path}: process {owner} uses them; stop that process, or give each page its own folder of data"
        ) from problem
    with suppress(OSError):  # the number is needed only for the message above
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


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
        if str(damage) in _NOT_DAMAGE:
            raise LabelError(f"labels {path}: {damage}; {_remedy(path)}") from damage
        aside = _set_aside(path)
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
        schema = _schema(connection)
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if create and not schema and application == 0:
            connection.executescript(_SCHEMA)
        elif application != _APPLICATION_ID:
            raise LabelError(f"labels {path}: this is the SQLite file of another program; name another folder")
        elif version != _FORMAT:
            raise LabelError(
                f"labels {path}: format {version}, but this version knows format {_FORMAT}; "
                "use the version of edge-inspect that wrote it"
            )
        else:
            _check(connection, schema)
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


def _schema(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name != 'sqlite_sequence' ORDER BY name"
    return connection.execute(query).fetchall()


def _check(connection: sqlite3.Connection, schema: list[tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        fresh.executescript(_SCHEMA)
        if schema != _schema(fresh):
            raise sqlite3.DatabaseError("the tables were changed by another program")
    (report,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if report != "ok":
        raise sqlite3.DatabaseError(report)


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.corrupt-{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}")
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
    return aside


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
