"""The place of data and results: a folder that all machines share, or a URL that fsspec can open, such as s3://."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from edge_inspect.edge.errors import DataSetError, UsageError
from edge_inspect.edge.file_system import open_file_system, reason
from edge_inspect.edge.files import sha256, write_atomically

_LAST = ("manifest.yaml", "checkpoint.yaml", "evaluation.json", "record.json")
"""Files that are written last: a folder that has them is complete. Copies keep to that."""


def is_url(place: str) -> bool:
    """Return whether a place is a URL and not a path."""
    return "://" in place


def joined(place: str, *names: str) -> str:
    """Return the place of a file or folder inside a place."""
    return "/".join([place.rstrip("/"), *names]) if is_url(place) else str(Path(place, *names))


class Stored(NamedTuple):
    """A stored file.

    Attributes:
        name: Its path below the place, with slashes.
        size: Its size in bytes.
        digest: Digest of its content.
    """

    name: str
    size: int
    digest: str


class Storage:
    """A folder that fsspec or the file system can open. Hidden files and folders are left out.

    Args:
        place: The folder's path or URL.

    Raises:
        UsageError: The URL's protocol is unknown, or a package for it is missing.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._remote: Any = None
        self._root = place
        if is_url(place):
            self._remote, self._root = open_file_system(place)

    def files(self) -> list[Stored]:
        """Return all files with their digests, sorted by name.

        The digest of a remote file is its entity tag, if the storage has one; otherwise its content is read.

        Raises:
            DataSetError: There is no such folder, or it cannot be read.
        """
        try:
            found = sorted(self._remote_files() if self._remote else self._local_files())
        except OSError as error:
            raise DataSetError(f"{self.place}: cannot be read: {reason(error)}") from error
        if not found:
            raise DataSetError(f"{self.place}: no such folder, or it holds no files")
        return found

    def fetch(self, folder: Path) -> None:
        """Copy all files into a local folder, those that make a folder complete last.

        Raises:
            DataSetError: They cannot be read.
        """
        try:
            listed = self._listed() if self._remote else {}
            for name in sorted(listed, key=_rank):
                write_atomically(folder / name, self._remote.cat_file(f"{self._root}/{name}"))
        except OSError as error:
            raise DataSetError(f"{self.place}: cannot be read: {reason(error)}") from error

    def put(self, folder: Path, sent: dict[str, tuple[int, int]]) -> None:
        """Copy the files of a local folder here that are new or changed.

        Args:
            folder: The local folder.
            sent: Size and time of change of each file that was sent before; it is brought up to date.

        Raises:
            UsageError: They cannot be written.
        """
        try:
            for path in sorted(_visible(folder), key=lambda path: _rank(path.name)):
                name = path.relative_to(folder).as_posix()
                try:
                    state = (path.stat().st_size, path.stat().st_mtime_ns)
                    content = path.read_bytes() if sent.get(name) != state else None
                except FileNotFoundError:  # the step has removed it meanwhile
                    continue
                if content is not None:
                    self.write(name, content)
                    sent[name] = state
        except OSError as error:
            raise UsageError(f"{self.place}: cannot be written: {reason(error)}") from error

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all.

        Raises:
            UsageError: It cannot be written.
        """
        try:
            if self._remote is None:
                write_atomically(Path(self._root, name), data)
                return
            path = f"{self._root}/{name}"
            self._remote.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
            self._remote.pipe_file(path, data)
        except OSError as error:
            raise UsageError(f"{joined(self.place, name)}: cannot be written: {reason(error)}") from error

    def read(self, name: str) -> bytes | None:
        """Return a file's content; `None` if there is no such file.

        Raises:
            UsageError: It cannot be read.
        """
        try:
            if self._remote is None:
                return Path(self._root, name).read_bytes()
            self._remote.invalidate_cache()
            return bytes(self._remote.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"{joined(self.place, name)}: cannot be read: {reason(error)}") from error

    def _local_files(self) -> Iterator[Stored]:
        root = Path(self._root)
        for path in _visible(root):
            yield Stored(path.relative_to(root).as_posix(), path.stat().st_size, sha256(path))

    def _remote_files(self) -> Iterator[Stored]:
        for name, about in self._listed().items():
            tag = about.get("ETag")
            content = tag or hashlib.sha256(self._remote.cat_file(f"{self._root}/{name}")).hexdigest()
            yield Stored(name, int(about["size"] or 0), str(content))

    def _listed(self) -> dict[str, Any]:
        """Return what is known about each remote file, by its path below the place."""
        self._remote.invalidate_cache()
        try:
            found = self._remote.find(self._root, detail=True)
        except FileNotFoundError:
            return {}
        inside = {path.removeprefix(self._root).lstrip("/"): about for path, about in found.items()}
        # A listing may name what lies elsewhere; nothing is written outside the folder.
        return {name: about for name, about in inside.items() if name and not _hidden(PurePosixPath(name).parts)}


def _visible(root: Path) -> Iterator[Path]:
    """Yield the files of a folder at any depth, without hidden files and folders."""
    for folder, inside, names in os.walk(root, followlinks=True):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") for part in parts)


def _rank(name: str) -> tuple[bool, str]:
    return PurePosixPath(name).name in _LAST, name
