"""Where the pictures of parts are stored: a folder, or a storage that fsspec can open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.file_system import open_file_system
from edge_inspect.edge.files import read_file, write_atomically


class PicturePlace:
    """Writes, reads and deletes files of a folder or storage. A storage of fsspec may raise any exception.

    Args:
        place: Path of a folder, or a URL that fsspec can open.

    Raises:
        UsageError: fsspec or a package of its for this URL is missing, or the URL is wrong.
    """

    def __init__(self, place: str) -> None:
        self._place = place.rstrip("/")
        self._remote, self._root = _open(place)

    def __str__(self) -> str:
        return self._place

    def write(self, name: str, data: bytes) -> None:
        """Write a file, and make the folder that it lies in."""
        if self._remote is None:
            path = Path(self._root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
            return
        path_there = f"{self._root}/{name}"
        self._remote.makedirs(path_there.rpartition("/")[0], exist_ok=True)
        self._remote.pipe_file(path_there, data)

    def read(self, name: str, largest: int) -> bytes:
        """Return the content of a file.

        Args:
            name: The file.
            largest: Largest size in bytes. A larger file is refused, or cut off in a storage of fsspec.
        """
        if self._remote is None:
            return read_file(Path(self._root, name), largest)
        return bytes(self._remote.cat_file(f"{self._root}/{name}", start=0, end=largest))

    def remove(self, name: str) -> None:
        """Delete a file, which may be gone already."""
        if self._remote is None:
            Path(self._root, name).unlink(missing_ok=True)
            return
        try:
            self._remote.rm_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return


def _open(place: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it; `None` and the path for a folder of this box."""
    if "://" not in place:
        return None, place
    try:
        return open_file_system(place)
    except UsageError as error:
        raise UsageError(f"pictures: {error}") from error
