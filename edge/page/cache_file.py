"""Opens a SQLite file that may be deleted, because its content can be made again."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.sqlite_file import check, is_empty
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)


def open_cache(path: Path, schema: str) -> sqlite3.Connection:
    """Return a connection to a file. A file that is damaged, or has other tables, is deleted and made again.

    Args:
        path: Path of the file.
        schema: The statements that make its tables.

    Raises:
        ConfigurationError: A new file cannot be written either.
    """
    try:
        return _open(path, schema)
    except sqlite3.Error as damage:
        log.warning("%s cannot be used and is made again: %s", clean(path), damage)
    try:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(f"{path}{suffix}")
        return _open(path, schema)
    except (sqlite3.Error, OSError) as problem:
        raise ConfigurationError(
            f"data: {clean(path)} cannot be written: {problem}; free space on the disk, make the folder writable for "
            "this program's user, or set data to another folder"
        ) from problem


def _open(path: Path, schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # a power cut costs no more than the time to make it again
        connection.execute("PRAGMA temp_store = MEMORY")
        if is_empty(connection):
            connection.executescript(f"BEGIN;{schema}COMMIT;")
        check(connection, schema, "quick_check")
    except BaseException:
        connection.close()
        raise
    return connection
