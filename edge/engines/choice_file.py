"""The record of a box's choices of precision: a JSON file that may be deleted, and is then measured anew."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from edge_inspect.edge.contract.fields import Time, utc_now
from edge_inspect.edge.engines.choice import Choice
from edge_inspect.edge.files import read_file, write_atomically

log = logging.getLogger(__name__)

CHOICES = ".precisions.json"
"""Ending of the record's name. The record lies beside the outbox."""

KEPT = 50
"""Number of newest entries that are kept."""

LARGEST = 2**20
"""Largest size of the file that is read, in bytes."""


class ChoiceKey(BaseModel):
    """All that a choice depends on."""

    model_config = ConfigDict(frozen=True)

    bundle: str = Field(description="digest of the bundle")
    engine: str = Field(description="name of the engine")
    version: str = Field(description="version of the engine's software")
    processor: str = Field(description="the processor, as `edge.processor.describe` names it")
    threads: int = Field(description="number of processor threads that the engine may use; 0: all")


class ChoiceEntry(BaseModel):
    """A choice, or a measurement that was begun and has not ended."""

    model_config = ConfigDict(frozen=True)

    key: ChoiceKey
    name: str = Field(description="name of the bundle")
    at: Time = Field(description="time at which the measurement began or ended")
    begun: int = Field(ge=1, description="how often the measurement was begun")
    choice: Choice | None = Field(default=None, description="the choice; null: no measurement has ended")


_ENTRIES = TypeAdapter(list[ChoiceEntry])


def read_choices(path: Path) -> list[ChoiceEntry]:
    """Return the entries of a record, oldest first; none if the file does not exist.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is not such a record.
    """
    try:
        return _ENTRIES.validate_json(read_file(path, LARGEST))
    except FileNotFoundError:
        return []


class ChoiceFile:
    """The record of one service. Only one thread at a time may use it.

    A measurement is recorded when it begins, too. So one that crashes or is killed, for instance because the box has
    too little memory for all precisions, is not repeated at every start.

    Args:
        path: The file, created with the first entry; without one, the choices last as long as this object.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._entries: list[ChoiceEntry] = []
        if path is not None:
            try:
                self._entries = read_choices(path)
            except (OSError, ValueError) as error:
                why = " ".join(str(error).split())
                log.warning("%s: cannot be read: %s; the precisions are timed again", path, why)

    def find(self, key: ChoiceKey) -> ChoiceEntry | None:
        """Return the entry of a key; `None` if there is none."""
        return next((entry for entry in self._entries if entry.key == key), None)

    def begin(self, key: ChoiceKey, name: str) -> None:
        """Record that a measurement begins, for the bundle of a name."""
        before = self.find(key)
        self._put(ChoiceEntry(key=key, name=name, at=utc_now(), begun=1 + (before.begun if before else 0)))

    def end(self, key: ChoiceKey, choice: Choice | None) -> None:
        """Record the choice with which a measurement ended; without a choice, forget that it was begun."""
        before = self.find(key)
        if before is None or choice is None:
            self._write([entry for entry in self._entries if entry.key != key])
        else:
            self._put(before.model_copy(update={"at": utc_now(), "choice": choice}))

    def _put(self, entry: ChoiceEntry) -> None:
        self._write([*(each for each in self._entries if each.key != entry.key), entry][-KEPT:])

    def _write(self, entries: list[ChoiceEntry]) -> None:
        self._entries = entries
        if self._path is None:
            return
        try:
            write_atomically(self._path, _ENTRIES.dump_json(entries, indent=2) + b"\n")
        except OSError as error:
            log.warning(
                "%s: cannot be written: %s; the next start times the precisions again", self._path, error.strerror
            )
