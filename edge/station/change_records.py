"""The records of changes by commands, for all stations of a box: who changed what and when. They survive restarts.

OUTBOX.bundles.jsonl       the bundle in force of each station, with the bundles before it
OUTBOX.thresholds.jsonl    the thresholds that commands have set
OUTBOX.recipes.jsonl       the recipes that commands have put in force
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Time
from edge_inspect.edge.errors import OutboxError
from edge_inspect.edge.files import write_atomically

log = logging.getLogger(__name__)

KEPT = 1000
"""Number of newest lines of each station, and of each recipe of it, that are always kept."""


class RequestedBy(NamedTuple):
    """The sender of a request for another bundle or recipe, for the record."""

    by: str | None = None
    command_id: str | None = None


class ChangeEntry(BaseModel):
    """One line of a record: the fields that all records share."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    at: Time
    station: str
    recipe: str | None = Field(default=None, description="recipe that it is about; null: the station has no recipes")
    by: str | None
    command_id: str | None

    @property
    def owner(self) -> tuple[str, str | None]:
        """The station and the recipe of which this is an entry."""
        return self.station, self.recipe


E = TypeVar("E", bound=ChangeEntry)


class ChangeRecord(Generic[E]):
    """A file of JSON lines, oldest first. Several threads may use it.

    Args:
        path: The file, created with the first entry. From time to time all but the newest `KEPT` lines of each station
            and recipe are deleted.
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
        """Return the newest `KEPT` lines of each station and recipe, without lines that cannot be read."""
        found: Counter[tuple[str, str | None]] = Counter()
        kept = []
        for line in reversed(lines):
            entry = self._parse(line)
            if entry is not None and found[entry.owner] < KEPT:
                found[entry.owner] += 1
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

    @classmethod
    def of(cls, bundle: Bundle) -> BundlePlace:
        """Return the place of an opened bundle."""
        return cls(name=bundle.manifest.name, digest=bundle.digest, path=bundle.path.absolute())


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

    def last(self, station: str, recipe: str | None = None) -> BundleEntry | None:
        """Return the last entry of a station and a recipe of it; `None` if there is none.

        Raises:
            OutboxError: The file exists but cannot be read.
        """
        return next((entry for entry in reversed(self.entries(station)) if entry.recipe == recipe), None)


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

    def last(self, station: str, bundle: str, recipe: str | None = None) -> float | None:
        """Return the last threshold of a station, a bundle and a recipe; `None` if the bundle's own is in force.

        Raises:
            OutboxError: The file exists but cannot be read.
        """
        found = reversed(self.entries(station))
        return next((entry.value for entry in found if (entry.bundle, entry.recipe) == (bundle, recipe)), None)


class RecipeEntry(ChangeEntry):
    """A change-over: `recipe` came into force."""

    before: str = Field(description="recipe that was in force before")

    @property
    def owner(self) -> tuple[str, str | None]:
        """The station, whose last entry counts, whichever its recipe."""
        return self.station, None


class RecipeRecord(ChangeRecord[RecipeEntry]):
    """The record of the recipes that commands have put in force.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, RecipeEntry)

    def last(self, station: str) -> str | None:
        """Return the recipe of a station that came into force last; `None` if none was ever asked for.

        Raises:
            OutboxError: The file exists but cannot be read.
        """
        found = self.entries(station)
        return found[-1].recipe if found else None
