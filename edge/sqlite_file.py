"""What the SQLite files of this program share: one process writes, changes are whole, damage is noticed at opening."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

# Python 3.10 does not report SQLite's error codes. These are the texts of IOERR, FULL, CANTOPEN, READONLY, BUSY,
# PROTOCOL and PERM.
_NOT_DAMAGE = {
    "disk I/O error",
    "database or disk is full",
    "unable to open database file",
    "attempt to write a readonly database",
    "database is locked",
    "locking protocol",
    "access permission denied",
}


class InUse(Exception):
    """Another process writes to the file. The text names it, as `process 123`."""


def lock(path: Path) -> int:
    """Lock a file for this process until the returned file descriptor is closed.

    Raises:
        OSError: The folder is missing or cannot be written to.
        InUse: Another process holds the lock.
    """
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise InUse(f"process {owner}") from problem
    # The number is needed only for the message above. So a full disk must not prevent the start.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the block as one transaction: all of its changes are made, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


def is_damage(problem: Exception) -> bool:
    """Return whether an error at the opening means that the file is damaged, and not that it cannot be used now."""
    return str(problem) not in _NOT_DAMAGE


def is_empty(connection: sqlite3.Connection) -> bool:
    """Return whether a file has no tables yet."""
    return not _schema(connection)


def check(
    connection: sqlite3.Connection, schema: str, pragma: Literal["integrity_check", "quick_check"] = "integrity_check"
) -> None:
    """Raise `sqlite3.DatabaseError`, as SQLite itself does, if the tables are damaged or not those of the schema.

    Args:
        connection: Connection to the file.
        schema: The statements by which the tables were made.
        pragma: SQLite's check of the content.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        fresh.executescript(schema)
        if _schema(connection) != _schema(fresh):
            raise sqlite3.DatabaseError("the tables were changed by another program")
    (report,) = connection.execute(f"PRAGMA {pragma}(1)").fetchone()
    if report != "ok":
        raise sqlite3.DatabaseError(report)


def set_aside(path: Path) -> Path:
    """Rename a damaged file, and the files that SQLite keeps beside it; return the new path."""
    aside = path.with_name(f"{path.name}.corrupt-{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}")
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
    return aside


def _schema(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name != 'sqlite_sequence' ORDER BY name"
    return connection.execute(query).fetchall()
