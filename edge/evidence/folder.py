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
    """Files of parts on disk, bounded in bytes: the oldest parts go. Used by one thread.

    What is there already is found when the folder is opened, and ids made from then on sort after it: what is oldest
    does not depend on the clock, which may have been set since. Files that are no evidence are left alone.

    Args:
        path: The folder; made where it is not there.
        max_bytes: Bound of all files together, each counted in blocks of 4 KiB.
        keep_free_bytes: Bytes of the disk that are left free.

    Raises:
        OSError: It cannot be made or read.
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

    def add(self, day: str, station: str, identity: str, files: dict[str, bytes]) -> None:
        """Write the files of a part, all or none; the oldest parts go to make room.

        Raises:
            OSError: the disk takes no more, or not so much.
        """
        size = sum(_blocks(len(data)) for data in files.values())
        if size > self._max_bytes:
            raise OSError(errno.EFBIG, f"a part takes {size} bytes; raise evidence.max_bytes", str(self._path))
        while self.bytes + size > self._max_bytes:
            self._remove(next(iter(self._parts)))
        if shutil.disk_usage(self._path).free < size + self._keep_free_bytes:
            said = f"evidence.keep_free_bytes, {self._keep_free_bytes}, would not be left free; make room"
            raise OSError(errno.ENOSPC, said, str(self._path))
        # The two names that are no folder's.
        folder = self._path / day / (f"_{station}" if station in (".", "..") else station)
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
        with contextlib.suppress(OSError):  # not empty
            for name in FOLDERS:
                if (folder / name).is_dir():
                    (folder / name).rmdir()
            folder.rmdir()
            folder.parent.rmdir()

    def _scan(self) -> Iterator[tuple[Path, str, int]]:
        """Yield of each part the station's folder, the part and its size; remove unfinished ones of a dead process."""
        for folder in self._path.glob("*/*"):
            for name in FOLDERS:
                for file in (folder / name).glob("*"):
                    if file.name.startswith(".") and is_uuid7(file.name[1:].split(".")[0]):
                        file.unlink(missing_ok=True)
                    elif is_uuid7(file.stem):
                        yield folder, file.stem, _blocks(file.stat().st_size)


def _blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
