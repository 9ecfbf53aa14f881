"""What a station is doing, for its status: starting, online, degraded with a reason, or paused."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from edge_inspect.edge.contract.messages import State
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)


class StationState:
    """Says what it is whenever that changes, and logs it. May be used by several threads.

    A fault and an alarm are kept apart, so that neither ends the other; of the two the fault is said.

    Args:
        name: Name of the station, for the log.
        say: Called with the state and its reason at every change.
    """

    def __init__(self, name: str, say: Callable[[State, str | None], None]) -> None:
        self._name, self._say = name, say
        self._lock = threading.RLock()
        self._paused: str | None = None
        self._note: str | None = None
        self._fault: str | None = None
        self._alarm: str | None = None
        self._said: tuple[State, str | None] | None = None

    @property
    def problem(self) -> str | None:
        """Why the station is degraded."""
        return self._alarm if self._fault is None else self._fault

    @property
    def now(self) -> tuple[State, str | None]:
        """The state that was published last, and its reason: MQTT, `/healthz` and `/metrics` show the same."""
        return self._said or ("starting", None)

    def start(self) -> None:
        """Say that the station is online, if nothing is wrong."""
        with self._lock:
            self._tell()

    def degrade(self, reason: str) -> None:
        """Say a fault that lasts until `recover`: a lost camera, an engine that fails at a part."""
        with self._lock:
            self._fault = clean(reason)
            self._tell()

    def recover(self) -> None:
        """End the fault: a part has its verdict."""
        if self._fault is not None:  # without the lock: every part comes by
            with self._lock:
                self._fault = None
                self._tell()

    def alarm(self, reason: str | None) -> None:
        """Say what is wrong while parts are inspected; `None` when that is over."""
        with self._lock:
            if reason != self._alarm:
                self._alarm = reason
                self._tell()

    def note(self, text: str | None) -> None:
        """Say what is to be known of a station that is online; `None` when that is over."""
        with self._lock:
            if text != self._note:
                self._note = text
                if self._said is not None:
                    self._tell()

    @property
    def paused(self) -> bool:
        """Whether a command has stopped the station from taking frames."""
        return self._paused is not None

    def pause(self, reason: str) -> None:
        """Say that the station takes no frames."""
        with self._lock:
            self._paused = clean(reason)
            self._tell()

    def resume(self) -> None:
        """Say that the station takes frames again."""
        with self._lock:
            self._paused = None
            self._tell()

    def _tell(self) -> None:
        state: State = "online"
        reason = self.problem
        if self._paused is not None:
            state, reason = "paused", self._paused
        elif reason is not None:
            state = "degraded"
        else:
            reason = self._note
        if (state, reason) == self._said:
            return
        if state == "degraded":
            log.warning("%s: %s", self._name, reason)
        elif state == "online" and self._said is not None and self._said[0] != "online":
            log.info("%s: inspects again", self._name)
        self._said = state, reason
        self._say(state, reason)
