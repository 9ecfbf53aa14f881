"""The records of what commands have changed, for all stations of a box: who changed what, when, and what holds now.

OUTBOX.bundles.jsonl       which bundle a station inspects by, remembered over restarts, with those before it
OUTBOX.thresholds.jsonl    thresholds set by commands
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_inspect.edge.contract.fields import Time
from edge_inspect.edge.errors import OutboxError
from edge_inspect.edge.files import write_atomically

log = logging.getLogger(__name__)

KEPT = 1000
"""Lines of a station that are kept at the least."""


class ChangeEntry(BaseModel):
    """One line of a record: the fields that all records share."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    at: Time
    station: str
    by: str | None
    command_id: str | None


E = TypeVar("E", bound=ChangeEntry)


class ChangeRecord(Generic[E]):
    """A file of JSON lines, oldest first. May be used by several threads.

    Args:
        path: The file; made at the first entry. When `KEPT` lines are too many, the oldest of each station go.
        model: Model of one line.
    """

    def __init__(self, path: Path, model: type[E]) -> None:
        self._path, self._model = path, model
        self._lock = threading.Lock()

    def entries(self, station: str) -> list[E]:
        """Return a station's entries, oldest first.

        Raises:
            OutboxError: the file is there and cannot be read.
        """
        try:
            return [entry for line in self._lines() if (entry := self._parse(line)) and entry.station == station]
        except OSError as error:
            raise OutboxError(f"{self._path}: cannot be read: {error.strerror}; let this user read it") from error

    def add(self, entry: E) -> None:
        """Write an entry; it is on the disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            lines = [*self._lines(), entry.model_dump_json().encode()]
            if len(lines) > 2 * KEPT and len(kept := self._newest(lines)) <= len(lines) - KEPT:
                write_atomically(self._path, b"\n".join(kept) + b"\n")
                return
            with self._path.open("ab") as file:
                # A line that a power cut has cut must not spoil this one.
                file.write(b"\n" + lines[-1] + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def _newest(self, lines: list[bytes]) -> list[bytes]:
        """Return the newest `KEPT` lines of each station; what cannot be read goes."""
        found: Counter[str] = Counter()
        kept = []
        for line in reversed(lines):
            entry = self._parse(line)
            if entry is not None and found[entry.station] < KEPT:
                found[entry.station] += 1
                kept.append(line)
        return kept[::-1]

    def _parse(self, line: bytes) -> E | None:
        try:
            return self._model.model_validate_json(line)
        except ValidationError:
            log.warning("%s: a line cannot be read and is passed over; a power cut may cut one", self._path)
            return None

    def _lines(self) -> list[bytes]:
        try:
            return [line for line in self._path.read_bytes().splitlines() if line]
        except FileNotFoundError:
            return []


class BundlePlace(BaseModel):
    """A bundle, and where it lay when it was loaded."""

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str
    path: Path


class BundleEntry(ChangeEntry):
    """A change of a station's bundle."""

    change: Literal["load", "roll back", "failed"] = Field(description="failed: rolled back by itself")
    bundles: tuple[BundlePlace, ...] = Field(min_length=1, description="that which judges, and those before it")
    configured: Path = Field(description="the station's `bundle` in the configuration; another one ends what is here")
    reason: str | None = None


class BundleRecord(ChangeRecord[BundleEntry]):
    """See `ChangeRecord`.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, BundleEntry)

    def last(self, station: str) -> BundleEntry | None:
        """Return a station's last entry, where it has one.

        Raises:
            OutboxError: the file is there and cannot be read.
        """
        found = self.entries(station)
        return found[-1] if found else None


class ThresholdEntry(ChangeEntry):
    """A change of a station's threshold."""

    bundle: str = Field(description="the bundle's digest")
    before: float
    value: float | None = Field(description="null: the bundle's own again")


class ThresholdRecord(ChangeRecord[ThresholdEntry]):
    """See `ChangeRecord`.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, ThresholdEntry)

    def last(self, station: str, bundle: str) -> float | None:
        """Return the threshold set last for a station under a bundle; `None` where it is the bundle's own.

        Raises:
            OutboxError: the file is there and cannot be read.
        """
        return next((entry.value for entry in reversed(self.entries(station)) if entry.bundle == bundle), None)
