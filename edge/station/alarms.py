"""What lasts while parts are inspected: a trigger that waits, a disk that takes nothing, pictures that are wrong."""

from __future__ import annotations

from collections.abc import Sequence

from edge.health.vitals import SAID
from edge.messages import HealthWarning
from edge.outbox import Outbox
from edge.station.ring import FrameRing
from edge.station.state import StationState

OVERLOAD = "the trigger waits: parts come faster than the engine inspects them"
_DISK = "the outbox's disk takes nothing: verdicts are kept in memory; make room on it or replace it"
_LASTING = (OVERLOAD, _DISK, *SAID.values())


class Alarms:
    """Degrades a station for what lasts, until a look finds it over. What else was wrong ends with the next verdict.

    Args:
        state: Of the station.
        outbox: Where its verdicts go.
        ring: Where its frames wait.
    """

    def __init__(self, state: StationState, outbox: Outbox, ring: FrameRing) -> None:
        self._state, self._outbox, self._ring = state, outbox, ring
        self._waits_said = 0

    def look(self, warnings: Sequence[HealthWarning], *, hurried: bool) -> None:
        """Looks at what lasts.

        Args:
            warnings: Of pictures, scores and the machine.
            hurried: Parts do not wait for the engine: that the ring is full is an alarm.
        """
        waits, self._waits_said = self._ring.waits - self._waits_said, self._ring.waits
        if self._outbox.problem is not None:
            self._state.degrade(_DISK)
        elif waits and hurried:
            self._state.degrade(OVERLOAD)
        elif warnings:
            self._state.degrade(SAID[warnings[0]])
        elif self._state.problem in _LASTING:
            self._state.recover()

    def inspected(self) -> None:
        """A part has its verdict."""
        if self._state.problem not in (None, *_LASTING):
            self._state.recover()
