"""Writes files and folders completely or not at all, reads them with a size limit, and computes their digests."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path


def read_file(path: Path, largest: int) -> bytes:
    """Return the content of a file whose path comes from a person.

    Args:
        path: The file.
        largest: Largest size that is accepted, in bytes.

    Raises:
        OSError: The file is missing, cannot be read, is no regular file or is too large; `strerror` says why.
    """
    try:
        # Opening a FIFO would block until another process writes to it.
        if not stat.S_ISREG(os.stat(path).st_mode):
            kind = "a folder" if os.path.isdir(path) else "a device, a pipe or a socket"
            raise OSError(errno.EINVAL, f"it is {kind}, not a file; name a file")
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except ValueError as error:  # the path holds a NUL
        raise OSError(errno.EINVAL, str(error)) from error
    if len(data) > largest:
        raise OSError(errno.EFBIG, f"it has more than {largest} bytes; is it the right file?")
    return data


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Write a temporary file beside `path` and rename it, so that a crash leaves either the old content or the new.

    Args:
        path: The file.
        data: Its content.
        mode: Its permissions.
        owner: Numbers of the user and the group that own it; by default, those of this process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if owner is not None:
            os.chown(temporary, *owner)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_new(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Create a file. It never has wider permissions than `mode`, and is removed if it cannot be written completely.

    Raises:
        FileExistsError: `path` exists.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`. It is renamed to `path` after the block, or removed if the block raises.

    Raises:
        FileExistsError: `path` exists.
    """
    if path.exists():
        raise FileExistsError(f"{path}: exists already")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        sync_folder(temporary)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Flush a folder to the disk, so that renames inside it survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Return the sha256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
