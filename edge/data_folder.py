"""The folder `data` of a program, such as the page's: it is created if it is missing, and one process uses it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edge_inspect.edge import sqlite_file
from edge_inspect.edge.errors import ConfigurationError


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Create a folder if it is missing, and keep other processes out of it during the block.

    Args:
        folder: The folder that the setting `data` names.

    Raises:
        ConfigurationError: The folder cannot be created or written, or another process uses it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = sqlite_file.lock(folder / "data")
    except sqlite_file.InUse as owner:
        raise ConfigurationError(
            f"data: {folder}: {owner} uses it; stop that process, or give each program its own folder"
        ) from owner
    except OSError as error:
        raise ConfigurationError(
            f"data: {folder} cannot be created or written: {error.strerror}; create it and let this user write it, or "
            "name another folder"
        ) from error
    try:
        yield
    finally:
        os.close(lock)
