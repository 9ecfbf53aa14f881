"""The ids of the commands that a station has taken, kept over restarts: a recorded command is not carried out again.

An id's time alone cannot tell: when the clock is set back, old commands are of now again.
"""

from __future__ import annotations

import logging
from pathlib import Path

from edge_inspect.edge.contract.ids import is_uuid7
from edge_inspect.edge.files import write_atomically

log = logging.getLogger(__name__)

KEPT = 10_000


class CommandMemory:
    """The newest ids of one station. Used by one thread.

    Args:
        path: The file, one id a line; `None` forgets when the process ends. A file that cannot be read or written is
            logged: then only the commands of this process are known.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._failing = False
        self._ids: dict[str, None] = {}
        self._lines = 0
        if path is not None:
            try:
                lines = path.read_text(errors="replace").splitlines()
            except FileNotFoundError:
                return
            except OSError as error:
                self._report(error)
                return
            self._ids = dict.fromkeys(line for line in lines if is_uuid7(line))
            self._lines = len(lines)
            self._forget()

    def __contains__(self, identity: str) -> bool:
        return identity in self._ids

    def add(self, identity: str) -> None:
        """Remember an id."""
        self._ids[identity] = None
        self._forget()
        if self._path is None:
            return
        try:
            if self._lines > 2 * KEPT:
                write_atomically(self._path, "".join(f"{each}\n" for each in self._ids).encode(), mode=0o600)
                self._lines = len(self._ids)
            else:
                with self._path.open("a") as file:
                    # A line that a power cut has cut must not spoil this one.
                    file.write(f"\n{identity}")
                self._lines += 1
            self._failing = False
        except OSError as error:
            self._report(error)

    def _forget(self) -> None:
        while len(self._ids) > KEPT:
            del self._ids[next(iter(self._ids))]

    def _report(self, error: OSError) -> None:
        if not self._failing:
            log.warning("%s: %s; after a restart, commands of before are known by their time alone", self._path, error)
        self._failing = True
