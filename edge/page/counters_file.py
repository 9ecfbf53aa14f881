"""The file that keeps the counters of the shift over restarts of the page."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.page.shift import SavedShift

log = logging.getLogger(__name__)


class _Content(BaseModel):
    version: Literal[1] = 1
    stations: dict[str, SavedShift] = {}


class CountersFile:
    """Reads and writes the counters. A damaged file is renamed; the page then counts from 0.

    Args:
        path: Path of the file.

    Raises:
        ConfigurationError: The file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = b""
        try:
            self.stations: Mapping[str, SavedShift] = self._read().stations
            self._write(_Content(stations=dict(self.stations)))
        except OSError as error:
            raise ConfigurationError(
                f"data: {path} cannot be read or written: {error.strerror}; make its folder writable for the page's "
                "user, or set data to another folder"
            ) from error

    def save(self, stations: Mapping[str, SavedShift]) -> None:
        """Write the counters, if they have changed. An error is logged, and the next call tries again."""
        try:
            self._write(_Content(stations=dict(stations)))
        except OSError as error:
            log.error(
                "data: %s cannot be written: %s; after a restart the page would show older counters", self._path, error
            )

    def _read(self) -> _Content:
        try:
            return _Content.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Content()
        except ValidationError as error:
            aside = self._path.with_name(self._path.name + ".damaged")
            self._path.replace(aside)
            log.error("data: %s is damaged and was renamed to %s: %s", self._path, aside, str(error).splitlines()[0])
            return _Content()

    def _write(self, content: _Content) -> None:
        data = content.model_dump_json().encode()
        if data != self._written:
            write_atomically(self._path, data)
            self._written = data
