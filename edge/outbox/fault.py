"""What is wrong with the outbox's file at present: said once, with the remedy of this fault and no other."""

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
_DAMAGED = "the file is damaged; restart the service: it sets the file aside and keeps what can be read"
# Python 3.10 does not tell SQLite's error codes, so the texts are looked at.
_REMEDIES = {
    "database or disk is full": "make room on the disk",
    "disk I/O error": "the disk fails; look at the kernel's log (dmesg) and replace it",
    "database disk image is malformed": _DAMAGED,
    "file is not a database": _DAMAGED,
    "access permission denied": "let the service's user write to the file and its folder",
}
ERRNO_REMEDIES = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "the disk quota of the service's user is used up; raise it or make room",
    errno.EROFS: "the file system is read-only; the kernel's log (dmesg) says why, a failing disk is a frequent cause",
    errno.EIO: "the disk fails; look at the kernel's log (dmesg) and replace it",
}
"""What to do about an error of the system that is not one of rights."""
_GONE = (
    "was deleted or replaced while the service uses it: what waits is lost when the service stops. Restart the service "
    "once nothing waits for the broker (outbox.entries of health is 0), and see what cleans that folder up"
)


class Fault:
    """Keeps why the file takes nothing and when it is tried again, and whether it is there at all.

    Args:
        path: of the outbox's file.

    Attributes:
        text: what is wrong and what to do about it; `None` while all is well.
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
        """What is wrong, to be put behind "the file"; `None` while all is well."""
        if self._is_gone:
            return _GONE
        return None if self.text is None else f"takes nothing, messages are kept in memory: {self.text}"

    def watch(self) -> None:
        """Watch the file, which is open: it must stay where it is."""
        self._number = os.stat(self._path).st_ino

    def look(self) -> None:
        """Notice that the file was deleted: SQLite goes on writing to what no name leads to any more."""
        try:
            is_gone = os.stat(self._path).st_ino != self._number
        except FileNotFoundError:
            is_gone = True
        except OSError:  # the disk fails, which the next message notices
            return
        if is_gone and not self._is_gone:
            log.error("outbox %s: the file %s", self._path, _GONE)
        self._is_gone = is_gone

    @property
    def due(self) -> bool:
        """Whether the file may be tried: it works, or was not tried for a second."""
        return self.text is None or time.monotonic() >= self._retry_at

    def note(self, problem: Exception) -> None:
        """Note that the file was tried in vain; another fault than before is logged."""
        if self.text is None or str(problem) != self._kind:
            self._kind, self.text = str(problem), describe(self._path, problem)
            log.error("outbox %s: %s. Messages are kept in memory until the file takes them", self._path, self.text)
        self._retry_at = time.monotonic() + _RETRY_S

    def clear(self) -> None:
        """Note that the file works."""
        if self.text is not None:
            log.warning("outbox %s: the file takes messages again", self._path)
            self.text = None


def describe(path: Path, problem: Exception) -> str:
    """Return what an error of SQLite or of the system means for the outbox's file, and what to do about it."""
    return f"{clean(str(problem))}: {_remedy(path, problem)}"


def _remedy(path: Path, problem: Exception) -> str:
    text = str(problem)
    if isinstance(problem, OSError):
        known = ERRNO_REMEDIES.get(problem.errno or 0)
    elif text.startswith(("database is locked", "database table is locked", "locking protocol")):
        holder = other_user(path)
        who = f"another program, {holder}," if holder else "another program"
        hint = "" if holder else f" (fuser -v {clean(path)}, as root, names it)"
        return f"{who} holds the file{hint}; have it write or undo its change and close the file"
    elif text.startswith("attempt to write a readonly database"):
        return _read_only(path)
    elif text.startswith("unable to open database file"):
        if path.is_dir():
            return "this is a folder; name a file in outbox.path"
        folder = clean(os.path.dirname(os.path.realpath(path)))
        return f"it cannot be opened; see that the folder {folder} is there and mounted, and " + _rights()
    elif text.startswith(("no such table", "no such column", "no such index")):
        return f"another program has changed its tables; {_DAMAGED}"
    else:
        known = next((remedy for start, remedy in _REMEDIES.items() if text.startswith(start)), None)
    return known or "see that the disk has room and works, and that no other program changes the file"


def _read_only(path: Path) -> str:
    with suppress(OSError):
        if os.statvfs(path.parent).f_flag & os.ST_RDONLY:
            return ERRNO_REMEDIES[errno.EROFS]
    return _rights()


def _rights() -> str:
    return "let the service's user write to the file, to those beside it (-wal, -shm) and to their folder"


def other_user(path: Path) -> str | None:
    """Return another process that has the outbox's file open; `None` where this user may see none."""
    files = {f"{os.path.realpath(path)}{suffix}" for suffix in ("", "-wal", "-shm")}
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        with suppress(OSError):
            if any(os.readlink(file) in files for file in process.glob("fd/*")):
                name = clean((process / "comm").read_text(errors="surrogateescape").strip())
                return f"{name} (process {process.name})"
    return None
