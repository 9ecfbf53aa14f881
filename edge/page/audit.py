"""The audit log: who did what on the page, as lines of JSON that are only ever appended."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_inspect.edge.errors import AuditError
from edge_inspect.edge.files import sync_folder
from edge_inspect.edge.text import clean

caller_address: ContextVar[str | None] = ContextVar("caller_address", default=None)
"""Address of the browser whose request is being answered. The page's gate sets it."""

_LARGEST_FILE = 16 * 2**20
_LONGEST_TEXT = 2000
_MOST_READ = 1000
_BLOCK = 2**16
_OLD = re.compile(r"audit-(\d{6,})\.jsonl", re.ASCII)


class AuditLog:
    """An append-only log of what people did. May be used from any thread.

    Each entry is one line of JSON: `at` (UTC), `person`, `action`, `address` (where known), and details. An entry is on
    the disk when `write` returns. When the file is full, it is renamed to `audit-000001.jsonl` and so on, and a new one
    begins; no line is ever deleted.

    Args:
        file: The file that is appended to, made with mode 0600.
        largest: Size in bytes from which the next entry goes to a new file.

    Raises:
        AuditError: The file cannot be opened.
    """

    def __init__(self, file: Path, largest: int = _LARGEST_FILE) -> None:
        self._path, self._largest = file, largest
        self._lock = threading.Lock()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._open()
        except OSError as error:
            raise self._error(error) from error

    def write(self, person: str, action: str, **details: Any) -> None:
        """Append an entry and flush it to the disk, which may take as long as the disk does.

        Write the entry before the action that it records, and leave out the action if this raises: nothing is done on
        the page that is not recorded.

        Args:
            person: Name of the user, or another word for who acts.
            action: The kind of action, such as "command", "label" or "login".
            details: What else is known: numbers, text, lists or mappings. Never a secret.

        Raises:
            AuditError: The entry could not be stored completely; no part of it remains.
        """
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry = {"at": at, "person": person, "action": action, "address": caller_address.get(), **details}
        if entry["address"] is None:
            del entry["address"]
        line = json.dumps(_plain(entry), ensure_ascii=False).encode() + b"\n"
        with self._lock:
            try:
                self._append(line)
            except OSError as error:
                raise self._error(error) from error

    def newest(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest entries, newest first; a line that is damaged is left out.

        Args:
            limit: Largest number of entries, at most 1000.

        Raises:
            AuditError: A file cannot be read.
        """
        found: list[dict[str, Any]] = []
        limit = min(limit, _MOST_READ)
        try:
            for file in (self._path, *reversed(self.old_files())):
                for line in _lines_backwards(file):
                    if len(found) >= limit:
                        return found
                    with contextlib.suppress(ValueError, RecursionError):
                        if isinstance(entry := json.loads(line), dict):
                            found.append(entry)
        except OSError as error:
            raise self._error(error) from error
        return found

    def old_files(self) -> list[Path]:
        """Return the files that are full, oldest first."""
        return [path for _, path in self._numbered()]

    def _numbered(self) -> list[tuple[int, Path]]:
        files = self._path.parent.iterdir()
        return sorted((int(found[1]), path) for path in files if (found := _OLD.fullmatch(path.name)))

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _open(self) -> int:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            os.write(file, b"\n")  # a power cut has left half a line
        sync_folder(self._path.parent)
        return file

    def _append(self, line: bytes) -> None:
        if self._file < 0:
            self._file = self._open()
        if os.fstat(self._file).st_size >= self._largest:
            self._rotate()
        size = os.fstat(self._file).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, size)
            raise

    def _rotate(self) -> None:
        old = self._numbered()
        number = old[-1][0] + 1 if old else 1
        os.rename(self._path, self._path.with_name(f"audit-{number:06d}.jsonl"))
        os.close(self._file)
        self._file = -1
        self._file = self._open()

    def _error(self, error: OSError) -> AuditError:
        return AuditError(
            f"{self._path}: the audit log cannot be used: {error.strerror}; nothing is done that cannot be recorded: "
            "free space on the disk, or correct the permissions"
        )


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it, with control characters escaped and long text shortened."""
    if isinstance(value, dict):
        return {clean(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    text = str(value)
    return clean(text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "...")


def _lines_backwards(path: Path) -> Iterator[bytes]:
    """Yield the complete lines of a file, the last one first."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        place = file.seek(0, os.SEEK_END)
        rest = b""
        while place:
            step = min(_BLOCK, place)
            place -= step
            file.seek(place)
            lines = (file.read(step) + rest).split(b"\n")
            rest = lines[0]
            yield from (line for line in reversed(lines[1:]) if line)
        if rest:
            yield rest
