"""Opens a SQLite file that may be deleted, because its content can be made again."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)


def open_cache(path: Path, open: Callable[[Path], sqlite3.Connection]) -> sqlite3.Connection:
    """Return a connection to a file. A file that cannot be used is deleted and made again.

    Args:
        path: Path of the file.
        open: Open the file, check it, and create its tables if it is new; raises `sqlite3.Error` if it is damaged.

    Raises:
        ConfigurationError: A new file cannot be written either.
    """
    try:
        return open(path)
    except sqlite3.Error as damage:
        log.warning("%s cannot be used and is made again: %s", clean(path), damage)
    try:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(f"{path}{suffix}")
        return open(path)
    except (sqlite3.Error, OSError) as problem:
        raise ConfigurationError(
            f"data: {clean(path)} cannot be written: {problem}; free space on the disk, make the folder writable for "
            "the page's user, or set data to another folder"
        ) from problem
