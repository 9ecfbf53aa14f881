"""The folders of a task on its machine: locked while it works, and emptied."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.sqlite_file import InUse, lock

LOCK_S = 60.0
"""Longest wait for a process of a lost worker that still holds the product's folder."""


def own_folder() -> Path:
    """Return the folder of this machine where results lie until they are copied to a remote storage."""
    folder = Path(tempfile.gettempdir(), f"edge-inspect-products-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise UsageError(f"{folder}: belongs to another user; remove it, or set TMPDIR")
    return folder


@contextlib.contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """Yield an empty folder, which is removed afterwards; a killed worker may have left files in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold the lock `path`.lock, so that no process of a lost worker works in a folder too; yield its descriptor."""
    waited = time.monotonic()
    while True:
        try:
            handle = lock(path)
            break
        except InUse as error:
            if time.monotonic() - waited > LOCK_S:
                raise UsageError(f"{path.parent}: {error} works in this folder; end it, or wait for it") from None
            time.sleep(0.2)
    try:
        yield handle
    finally:
        os.close(handle)
