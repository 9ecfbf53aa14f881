from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from edge_inspect.edge.contract.ids import is_uuid7, sort_after
from edge_inspect.edge.evidence.saved_part import FOLDERS, SUFFIXES
from edge_inspect.edge.files import write_atomically

_BLOCK = 4096


class EvidenceFolder:
    """The files of all saved parts, bounded in bytes: the oldest parts are deleted. Used by one thread.

    Opening the folder lists the parts that it holds, and makes all later ids sort after theirs. So the order of age
    does not depend on the clock, which may have been set. Files that are no evidence are left alone.

    Args:
        path: The folder; it is created if it is missing.
        max_bytes: Largest size of all files together; each file counts in blocks of 4 KiB.
        keep_free_bytes: Free space that must be left on the disk, in bytes.

    Raises:
        OSError: The folder cannot be created or read.

    Attributes:
        bytes: Size of all files.
    """

    def __init__(self, path: Path, max_bytes: int, keep_free_bytes: int) -> None:
        self._path, self._max_bytes, self._keep_free_bytes = path, max_bytes, keep_free_bytes
        path.mkdir(parents=True, exist_ok=True)
        found: dict[str, tuple[Path, int]] = {}
        for folder, identity, size in self._scan():
            found[identity] = (folder, size + (found[identity][1] if identity in found else 0))
        self._parts = dict(sorted(found.items()))
        if self._parts:
            sort_after(next(reversed(self._parts)))
        self.bytes = sum(size for _, size in self._parts.values())

    def __contains__(self, identity: str) -> bool:
        """Return whether the folder holds files of a part."""
        return identity in self._parts

    def add(self, day: str, station: str, identity: str, files: dict[str, bytes]) -> None:
        """Write the files of a part, all or none, and delete the oldest parts if they take too much space.

        Raises:
            OSError: The files cannot be written, or would leave too little free space.
        """
        size = sum(_blocks(len(data)) for data in files.values())
        if size > self._max_bytes:
            raise OSError(errno.EFBIG, f"one part needs {size} bytes; raise evidence.max_bytes", str(self._path))
        while self.bytes + size > self._max_bytes:
            self._remove(next(iter(self._parts)))
        if shutil.disk_usage(self._path).free < size + self._keep_free_bytes:
            said = f"less than evidence.keep_free_bytes ({self._keep_free_bytes}) would be left; free space on the disk"
            raise OSError(errno.ENOSPC, said, str(self._path))
        folder = self._path / day / station_folder(station)
        try:
            for name, data in files.items():
                write_atomically(folder / name, data)
        except OSError:
            for name in files:
                (folder / name).unlink(missing_ok=True)
            raise
        self._parts[identity] = (folder, size)
        self.bytes += size

    def _remove(self, identity: str) -> None:
        folder, size = self._parts[identity]
        for name in FOLDERS:
            for suffix in (*SUFFIXES.values(), ".json"):
                (folder / name / f"{identity}{suffix}").unlink(missing_ok=True)
        del self._parts[identity]
        self.bytes -= size
        with contextlib.suppress(OSError):  # a folder is not empty
            for name in FOLDERS:
                if (folder / name).is_dir():
                    (folder / name).rmdir()
            folder.rmdir()
            folder.parent.rmdir()

    def _scan(self) -> Iterator[tuple[Path, str, int]]:
        """Yield the station's folder, the id and the size of every file; delete unfinished files of a dead process."""
        for folder in self._path.glob("*/*"):
            for name in FOLDERS:
                for file in (folder / name).glob("*"):
                    if file.name.startswith(".") and is_uuid7(file.name[1:].split(".")[0]):
                        file.unlink(missing_ok=True)
                    elif is_uuid7(file.stem):
                        yield folder, file.stem, _blocks(file.stat().st_size)


def station_folder(station: str) -> str:
    """Return the name of a station's folder: `.` and `..` cannot be names of folders."""
    return f"_{station}" if station in (".", "..") else station


def _blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
