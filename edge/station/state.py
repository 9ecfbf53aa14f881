"""What a station is doing, for its status: starting, online, degraded with a reason, or paused."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from edge.messages import State

log = logging.getLogger(__name__)


class StationState:
    """Says every change once. May be used by several threads.

    Args:
        name: Of the station, for the log.
        say: Called with the state and its reason at every change.
    """

    def __init__(self, name: str, say: Callable[[State, str | None], None]) -> None:
        self._name, self._say = name, say
        self._lock = threading.RLock()
        self._paused: str | None = None
        self.problem: str | None = None
        """Why the station is degraded."""

    def start(self) -> None:
        """The station is online, if nothing is wrong."""
        with self._lock:
            self._tell()

    def degrade(self, reason: str) -> None:
        """Something is wrong; said once a reason."""
        with self._lock:
            if reason != self.problem:
                log.warning("%s: %s", self._name, reason)
                self.problem = reason
                self._tell()

    def recover(self) -> None:
        """Nothing is wrong any more."""
        with self._lock:
            if self.problem is not None:
                log.info("%s: inspects again", self._name)
                self.problem = None
                self._tell()

    @property
    def paused(self) -> bool:
        """Whether a command has stopped the station from taking frames."""
        return self._paused is not None

    def pause(self, reason: str) -> None:
        """The station takes no frames."""
        with self._lock:
            self._paused = reason
            self._tell()

    def resume(self) -> None:
        """The station takes frames again."""
        with self._lock:
            self._paused = None
            self._tell()

    def _tell(self) -> None:
        if self._paused is not None:
            self._say("paused", self._paused)
        elif self.problem is not None:
            self._say("degraded", self.problem)
        else:
            self._say("online", None)
