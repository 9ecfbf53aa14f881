"""The file that keeps, over restarts of the bridge, how far each station was followed and which parts were shown."""

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
    """Content of the state file."""

    version: Literal[1] = 1
    starts: int = 0
    stations: dict[str, SavedStation] = {}


class StateFile:
    """Reads and writes the state file. A damaged file is renamed; the bridge then begins with the next part.

    Args:
        path: Path of the file.

    Raises:
        ConfigurationError: The file cannot be read or written.
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
                f"state: {path} cannot be read or written: {error.strerror}; make its folder writable for the "
                "bridge's user, or set state to another file"
            ) from error

    @property
    def starts(self) -> int:
        """Number of times that the bridge has started, including this start."""
        return self._state.starts

    def station(self, prefix: str) -> SavedStation:
        """Return the saved state of a station, by the prefix of its topics; an empty one if there is none."""
        return self._state.stations.get(prefix, SavedStation())

    def save(self, stations: Mapping[str, SavedStation]) -> None:
        """Write the state of the stations, if it has changed. An error is logged, and the next call tries again."""
        self._state.stations.update(stations)
        try:
            self._write()
        except OSError as error:
            log.error(
                "state: %s cannot be written: %s; after a restart the bridge would continue at an older part",
                self._path,
                error,
            )

    def _read(self) -> BridgeState:
        try:
            return BridgeState.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return BridgeState()
        except ValidationError as error:
            aside = self._path.with_name(self._path.name + ".damaged")
            self._path.replace(aside)
            log.error("state: %s is damaged and was renamed to %s: %s", self._path, aside, str(error).splitlines()[0])
            return BridgeState()

    def _write(self) -> None:
        content = self._state.model_dump_json().encode()
        if content != self._written:
            write_atomically(self._path, content)
            self._written = content
