"""The lock on a demo's folder, so that no second demo deletes the files of a line that runs there."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from edge_inspect.edge.errors import UsageError

_FILE = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Lock a folder during the block; yield the lock's file descriptor.

    A process that inherits the descriptor holds the lock as well, so that one that was left behind is noticed.

    Args:
        folder: The folder, which exists.

    Raises:
        UsageError: A demo runs in the folder, or the folder cannot be written.
    """
    path = folder / _FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(
            f"--out {folder}: {error.strerror}; let this user write to it, or give another folder"
        ) from error
    try:
        _lock(descriptor, folder)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        raise UsageError(
            f"--out {folder}: process {owner}, or one that it started, runs a demo there; end it first (if it was "
            f"killed, `fuser -k {folder / _FILE}` ends what it left behind), or give another folder"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
