"""The records of changes by commands, for all stations of a box: who changed what and when. They survive restarts.

OUTBOX.bundles.jsonl       the bundle in force of each station, with the bundles before it
OUTBOX.thresholds.jsonl    the thresholds that commands have set
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
"""Number of newest lines of each station that are always kept."""


class ChangeEntry(BaseModel):
    """One line of a record: the fields that all records share."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    at: Time
    station: str
    by: str | None
    command_id: str | None


E = TypeVar("E", bound=ChangeEntry)


class ChangeRecord(Generic[E]):
    """A file of JSON lines, oldest first. Several threads may use it.

    Args:
        path: The file, created with the first entry. From time to time all but the newest `KEPT` lines of each station
            are deleted.
        model: Model of one line.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, model: type[E]) -> None:
        self.path, self._model = path, model
        self._lock = threading.Lock()

    def entries(self, station: str) -> list[E]:
        """Return the entries of a station, oldest first.

        Raises:
            OutboxError: The file exists but cannot be read.
        """
        try:
            return [entry for line in self._lines() if (entry := self._parse(line)) and entry.station == station]
        except OSError as error:
            raise OutboxError(f"{self.path}: cannot be read: {error.strerror}; let this user read it") from error

    def add(self, entry: E) -> None:
        """Append an entry, and return when it is on the disk.

        Raises:
            OSError: The entry cannot be written.
        """
        with self._lock:
            lines = [*self._lines(), entry.model_dump_json().encode()]
            if len(lines) > 2 * KEPT and len(kept := self._newest(lines)) <= len(lines) - KEPT:
                write_atomically(self.path, b"\n".join(kept) + b"\n")
                return
            with self.path.open("ab") as file:
                # Begin on a new line, because a power cut may have left half a line.
                file.write(b"\n" + lines[-1] + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def _newest(self, lines: list[bytes]) -> list[bytes]:
        """Return the newest `KEPT` lines of each station, without lines that cannot be read."""
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
            log.warning("%s: a line cannot be read and is ignored; a power cut may have damaged it", self.path)
            return None

    def _lines(self) -> list[bytes]:
        try:
            return [line for line in self.path.read_bytes().splitlines() if line]
        except FileNotFoundError:
            return []


class BundlePlace(BaseModel):
    """A bundle, and the path from which it was loaded."""

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str
    path: Path


def replace_failed(places: tuple[BundlePlace, ...], failed: str, before: BundlePlace) -> tuple[BundlePlace, ...]:
    """Return the remembered bundles with the previous one in the place of the failed one.

    A newer bundle that waits to be put in force stays first.

    Args:
        places: The remembered bundles, newest first.
        failed: Digest of the bundle that failed.
        before: The bundle that was in force before it.
    """
    digests = [place.digest for place in places]
    if failed not in digests:  # a command has already rolled it back
        return places
    at = digests.index(failed)
    older = (place for place in places[at + 1 :] if place.digest not in (failed, before.digest))
    return (*places[:at], before, *older)


class BundleEntry(ChangeEntry):
    """A change of a station's bundle."""

    change: Literal["load", "roll back", "failed"] = Field(
        description="load and roll back: asked for by a command; failed: the new bundle failed and was rolled back"
    )
    bundles: tuple[BundlePlace, ...] = Field(
        min_length=1, description="the bundle in force, then the bundles before it"
    )
    configured: Path = Field(
        description="bundle in the configuration at that time; if it names another one now, the entry is ignored"
    )
    reason: str | None = None


class BundleRecord(ChangeRecord[BundleEntry]):
    """The record of the bundles that were in force.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, BundleEntry)

    def last(self, station: str) -> BundleEntry | None:
        """Return the last entry of a station; `None` if it has none.

        Raises:
            OutboxError: The file exists but cannot be read.
        """
        found = self.entries(station)
        return found[-1] if found else None


class ThresholdEntry(ChangeEntry):
    """A change of a station's threshold."""

    bundle: str = Field(description="digest of the bundle that the threshold is for")
    before: float = Field(description="the threshold before")
    value: float | None = Field(description="the new threshold; null: the bundle's own threshold")


class ThresholdRecord(ChangeRecord[ThresholdEntry]):
    """The record of the thresholds that commands have set.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, ThresholdEntry)

    def last(self, station: str, bundle: str) -> float | None:
        """Return the last threshold that was set for a station and a bundle; `None` if the bundle's own is in force.

        Raises:
            OutboxError: The file exists but cannot be read.
        """
        return next((entry.value for entry in reversed(self.entries(station)) if entry.bundle == bundle), None)
