"""The file in which the bridge remembers how far it has followed each station, and what it has shown."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from edge_inspect.edge.bridge.station import SavedStation
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.files import write_atomically

log = logging.getLogger(__name__)


class BridgeState(BaseModel):
    """The file's content."""

    version: Literal[1] = 1
    starts: int = 0
    stations: dict[str, SavedStation] = {}


class StateFile:
    """Keeps the record. A damaged file is set aside: the bridge then begins with the next part that comes.

    Args:
        path: The file.

    Raises:
        ConfigurationError: It cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = b""
        try:
            self._state = self._read()
            self._state.starts += 1
            self._write()
        except OSError as error:
            raise ConfigurationError(
                f"state: {path} cannot be read or written: {error.strerror}; make its folder, or name another"
            ) from error

    @property
    def starts(self) -> int:
        """How often the bridge has started, this time included."""
        return self._state.starts

    def station(self, prefix: str) -> SavedStation:
        """Return what is remembered of a station."""
        return self._state.stations.get(prefix, SavedStation())

    def save(self, stations: Mapping[str, SavedStation]) -> None:
        """Write what has changed; a disk that takes nothing is logged, and tried again next time."""
        self._state.stations.update(stations)
        try:
            self._write()
        except OSError as error:
            log.error("state: %s cannot be written: %s; a restart would begin at an older part", self._path, error)

    def _read(self) -> BridgeState:
        try:
            return BridgeState.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return BridgeState()
        except ValidationError as error:
            aside = self._path.with_name(self._path.name + ".damaged")
            self._path.replace(aside)
            log.error("state: %s is damaged and set aside as %s: %s", self._path, aside, str(error).splitlines()[0])
            return BridgeState()

    def _write(self) -> None:
        content = self._state.model_dump_json().encode()
        if content != self._written:
            write_atomically(self._path, content)
            self._written = content
