"""The container of a bundle's files: a folder, or a .zip of it."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from edge_inspect.edge.errors import BundleError
from edge_inspect.edge.files import sha256, write_atomically

_BLOCK = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)
"""The errors that `zipfile` raises for a damaged archive."""


class Container(Protocol):
    """Reads and writes files by their name inside the bundle, with `/` between folders."""

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            OSError, KeyError, ValueError: The file is missing or cannot be read.
            BundleError: The container is damaged.
        """

    def digest(self, name: str) -> str:
        """Return the sha256 of a file in hexadecimal; raise the same errors as `read`."""

    def write(self, name: str, data: bytes) -> None:
        """Add or replace a file, completely or not at all.

        Raises:
            OSError: The file cannot be written.
            BundleError: The container is damaged.
        """


def open_container(path: Path, marker: str) -> Container:
    """Open the container of a bundle.

    Args:
        path: The folder or .zip.
        marker: Name of a file in the top folder of the bundle; a .zip may hold the bundle inside a folder.

    Raises:
        BundleError: `path` is neither a folder nor a .zip.
    """
    if path.is_dir():
        return Folder(path)
    if not path.is_file():
        raise BundleError(f"{path}: no such bundle; make one with calibrate bundle")
    return Archive(path, marker)


class Folder:
    """The container of a bundle that is a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> bytes:
        """See `Container`."""
        return (self._path / name).read_bytes()

    def digest(self, name: str) -> str:
        """See `Container`."""
        return sha256(self._path / name)

    def write(self, name: str, data: bytes) -> None:
        """See `Container`."""
        write_atomically(self._path / name, data)


class Archive:
    """The container of a bundle that is a .zip.

    Raises:
        BundleError: The file is no .zip, or is damaged.
    """

    def __init__(self, path: Path, marker: str) -> None:
        self._path = path
        try:
            archive = zipfile.ZipFile(path)
        except (OSError, *_DAMAGED) as error:
            raise BundleError(f"{path}: is neither the folder of a bundle nor its .zip") from error
        with archive:
            tops = {PurePosixPath(name).parent for name in archive.namelist() if PurePosixPath(name).name == marker}
        self._top = min(tops, key=lambda top: (len(top.parts), str(top)), default=PurePosixPath())

    def read(self, name: str) -> bytes:
        """See `Container`."""
        return b"".join(self._blocks(name))

    def digest(self, name: str) -> str:
        """See `Container`."""
        found = hashlib.sha256()
        for block in self._blocks(name):
            found.update(block)
        return found.hexdigest()

    def write(self, name: str, data: bytes) -> None:
        """Add or replace a file. The archive is written anew; other files keep content, date and compression."""
        content = io.BytesIO()
        try:
            with zipfile.ZipFile(self._path) as old, zipfile.ZipFile(content, "w") as new:
                new.comment = old.comment
                others = {entry.filename: entry for entry in old.infolist() if entry.filename != self._entry(name)}
                for entry in others.values():
                    new.writestr(entry, old.read(entry))
                new.writestr(self._entry(name), data)
        except _DAMAGED as error:
            raise BundleError(f"{self._path}: is damaged: {error}; copy the bundle again") from error
        write_atomically(self._path, content.getvalue(), mode=self._path.stat().st_mode & 0o777)

    def _blocks(self, name: str) -> Iterator[bytes]:
        """Yield a file in blocks. An entry that inflates to more than its header says never takes more memory."""
        try:
            with zipfile.ZipFile(self._path) as opened, opened.open(self._entry(name)) as entry:
                while block := entry.read(_BLOCK):
                    yield block
        except _DAMAGED as error:
            raise BundleError(f"{self._path}: {name} is damaged: {error}; copy the bundle again") from error

    def _entry(self, name: str) -> str:
        return str(self._top / name)
