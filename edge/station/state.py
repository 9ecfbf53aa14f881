"""The state of a station, as its status shows it: starting, online, degraded with a reason, or paused."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from edge_inspect.edge.contract.messages import State
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)


class StationState:
    """Publishes and logs every change of the state. Several threads may use it.

    A station is degraded by a fault, which the next verdict ends, or by an alarm, which lasts while parts are
    inspected. Neither ends the other. If there are both, the status shows the fault.

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
        """The reason why the station is degraded; `None` if it is not."""
        return self._alarm if self._fault is None else self._fault

    @property
    def now(self) -> tuple[State, str | None]:
        """The state that was published last, and its reason, as MQTT, `/healthz` and `/metrics` show them."""
        return self._said or ("starting", None)

    def start(self) -> None:
        """Publish the first state: online, or degraded if there is a fault already."""
        with self._lock:
            self._tell()

    def degrade(self, reason: str) -> None:
        """Publish a fault that lasts until `recover`, such as a lost camera or an engine that failed at a part."""
        with self._lock:
            self._fault = clean(reason)
            self._tell()

    def recover(self) -> None:
        """End the fault, because a part has its verdict."""
        if self._fault is not None:  # checked without the lock, because this is called for every part
            with self._lock:
                self._fault = None
                self._tell()

    def alarm(self, reason: str | None) -> None:
        """Publish a problem that lasts while parts are inspected; `None` ends it."""
        with self._lock:
            if reason != self._alarm:
                self._alarm = reason
                self._tell()

    def note(self, text: str | None) -> None:
        """Publish a remark that the status shows as the reason while the station is online; `None` removes it."""
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
        """Publish that the station takes no frames."""
        with self._lock:
            self._paused = clean(reason)
            self._tell()

    def resume(self) -> None:
        """Publish that the station takes frames again."""
        with self._lock:
            self._paused = None
            self._tell()

    def repeat(self) -> None:
        """Publish the state again, because something else in the status has changed."""
        with self._lock:
            if self._said is not None:
                self._say(*self._said)

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
