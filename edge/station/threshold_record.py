"""The record of thresholds set by commands: who set which, when, and what holds now."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import OutboxError
from edge.files import write_atomically
from edge.messages import Time

log = logging.getLogger(__name__)

KEPT = 1000
"""Lines that are kept at the least."""


class ThresholdEntry(BaseModel):
    """One line."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    at: Time
    station: str
    bundle: str = Field(description="the bundle's digest")
    before: float
    value: float | None = Field(description="null: the bundle's own again")
    by: str | None
    command_id: str


class ThresholdRecord:
    """A file of JSON lines, oldest first, for all stations of a box. May be used by several threads.

    Args:
        path: The file; made at the first entry, and cut to its newest `KEPT` lines when it has twice as many.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def last(self, station: str, bundle: str) -> float | None:
        """Return the threshold set last for a station under a bundle; `None` where it is the bundle's own.

        Raises:
            OutboxError: the file is there and cannot be read.
        """
        try:
            lines = self._lines()
        except OSError as error:
            raise OutboxError(f"{self._path}: cannot be read: {error.strerror}; let this user read it") from error
        for line in reversed(lines):
            try:
                entry = ThresholdEntry.model_validate_json(line)
            except ValidationError:
                log.warning("%s: a line cannot be read and is passed over; a power cut may cut one", self._path)
                continue
            if (entry.station, entry.bundle) == (station, bundle):
                return entry.value
        return None

    def add(self, entry: ThresholdEntry) -> None:
        """Write an entry; it is on the disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            lines = [*self._lines(), entry.model_dump_json().encode()]
            if len(lines) > 2 * KEPT:
                write_atomically(self._path, b"\n".join(lines[-KEPT:]) + b"\n")
                return
            with self._path.open("ab") as file:
                # A line that a power cut has cut must not spoil this one.
                file.write(b"\n" + lines[-1] + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def _lines(self) -> list[bytes]:
        try:
            return [line for line in self._path.read_bytes().splitlines() if line]
        except FileNotFoundError:
            return []
