"""The present fault of the outbox's file: logged once, with the remedy for exactly this fault."""

from __future__ import annotations

import errno
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_DAMAGED = "the file is damaged; restart the service: it renames the file and keeps all entries that can be read"
# Python 3.10 does not report SQLite's error codes, so their texts are compared.
_REMEDIES = {
    "database or disk is full": "make room on the disk",
    "disk I/O error": "the disk fails; see the kernel's log (dmesg) and replace the disk",
    "database disk image is malformed": _DAMAGED,
    "file is not a database": _DAMAGED,
    "access permission denied": "let the service's user write to the file and its folder",
}
ERRNO_REMEDIES = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "the disk quota of the service's user is used up; raise it or make room",
    errno.EROFS: "the file system is read-only; see the kernel's log (dmesg) for the reason, often a failing disk",
    errno.EIO: "the disk fails; see the kernel's log (dmesg) and replace the disk",
}
"""Remedies for errors of the operating system that are not about rights."""
_GONE = (
    "was deleted or replaced while the service uses it: waiting messages are lost when the service stops. Restart the "
    "service when no message waits (outbox.entries in health is 0), and find out which program cleans up that folder"
)


class Fault:
    """Remembers why the file cannot be written, when it is tried again, and whether it still exists.

    Args:
        path: Path of the outbox's file.

    Attributes:
        text: Fault and remedy; `None` while all is well.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kind = ""
        self._retry_at = 0.0
        self._number: int | None = None
        self._is_gone = False
        self.text: str | None = None

    @property
    def problem(self) -> str | None:
        """Fault and remedy as a phrase that follows "the file"; `None` while all is well."""
        if self._is_gone:
            return _GONE
        return None if self.text is None else f"cannot be written, messages are kept in memory: {self.text}"

    def watch(self) -> None:
        """Remember the identity of the open file, so that `look` notices if it is deleted or replaced."""
        self._number = os.stat(self._path).st_ino

    def look(self) -> None:
        """Check whether the file was deleted or replaced: SQLite would go on writing to the deleted file."""
        try:
            is_gone = os.stat(self._path).st_ino != self._number
        except FileNotFoundError:
            is_gone = True
        except OSError:  # the disk fails; the next write reports that
            return
        if is_gone and not self._is_gone:
            log.error("outbox %s: the file %s", self._path, _GONE)
        self._is_gone = is_gone

    @property
    def due(self) -> bool:
        """Whether to try the file: it works, or the last attempt was at least a second ago."""
        return self.text is None or time.monotonic() >= self._retry_at

    def note(self, problem: Exception) -> None:
        """Note that an access to the file failed; a fault that differs from the last one is logged."""
        if self.text is None or str(problem) != self._kind:
            self._kind, self.text = str(problem), describe(self._path, problem)
            log.error(
                "outbox %s: %s. Messages are kept in memory until the file can be written again", self._path, self.text
            )
        self._retry_at = time.monotonic() + _RETRY_S

    def clear(self) -> None:
        """Note that the file works."""
        if self.text is not None:
            log.warning("outbox %s: the file can be written again", self._path)
            self.text = None


def describe(path: Path, problem: Exception) -> str:
    """Return an error of SQLite or of the operating system as text, with the remedy."""
    return f"{clean(str(problem))}: {_remedy(path, problem)}"


def _remedy(path: Path, problem: Exception) -> str:
    text = str(problem)
    if isinstance(problem, OSError):
        known = ERRNO_REMEDIES.get(problem.errno or 0)
    elif text.startswith(("database is locked", "database table is locked", "locking protocol")):
        holder = other_user(path)
        who = f"another program, {holder}," if holder else "another program"
        hint = "" if holder else f" (`fuser -v {clean(path)}` as root names it)"
        return f"{who} has locked the file{hint}; end its transaction and close the file there"
    elif text.startswith("attempt to write a readonly database"):
        return _read_only(path)
    elif text.startswith("unable to open database file"):
        if path.is_dir():
            return "this is a folder; set outbox.path to a file"
        folder = clean(os.path.dirname(os.path.realpath(path)))
        return f"it cannot be opened; check that the folder {folder} exists and is mounted, and " + _rights()
    elif text.startswith(("no such table", "no such column", "no such index")):
        return f"another program has changed its tables; {_DAMAGED}"
    else:
        known = next((remedy for start, remedy in _REMEDIES.items() if text.startswith(start)), None)
    return known or "check that the disk works and has free space, and that no other program changes the file"


def _read_only(path: Path) -> str:
    with suppress(OSError):
        if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
            return ERRNO_REMEDIES[errno.EROFS]
    return _rights()


def _rights() -> str:
    return "let the service's user write to the file, to the files beside it (-wal, -shm) and to their folder"


def other_user(path: Path) -> str | None:
    """Return name and number of another process that has the outbox's file open; `None` if this user can see none."""
    files = {f"{os.path.realpath(path)}{suffix}" for suffix in ("", "-wal", "-shm")}
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        with suppress(OSError):
            if any(os.readlink(file) in files for file in process.glob("fd/*")):
                name = clean((process / "comm").read_text(errors="surrogateescape").strip())
                return f"{name} (process {process.name})"
    return None
