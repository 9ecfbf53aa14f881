"""Problems that last while parts are inspected: overload, an outbox that drops messages, warnings of the health."""

from __future__ import annotations

from collections.abc import Sequence

from edge_inspect.edge.outbox import Outbox
from edge_inspect.edge.station.ring import FrameRing
from edge_inspect.edge.station.state import StationState

OVERLOAD = "parts come faster than the engine inspects them; slow the line down, or make the engine faster"


class Alarms:
    """Sets a station's alarm to its worst lasting problem, and ends the alarm when the problem is over.

    Args:
        state: State of the station, which publishes the alarm.
        outbox: Outbox of the station's messages.
        ring: Ring in which the station's frames wait.
    """

    def __init__(self, state: StationState, outbox: Outbox, ring: FrameRing) -> None:
        self._state, self._outbox, self._ring = state, outbox, ring
        self._passed = self._seen = 0
        self._dropped = sum(outbox.dropped().values())

    def let_pass(self) -> None:
        """Count a part that passes because too many triggers wait. Called by the trigger's thread."""
        self._passed += 1
        if self._outbox.problem is None:
            self._state.alarm(OVERLOAD)

    def look(self, warnings: Sequence[str], *, hurried: bool) -> None:
        """Check for lasting problems, and set or end the alarm.

        Args:
            warnings: Warnings of the station's health, as sentences; the alarm shows the first one.
            hurried: Whether parts do not wait for the engine, so that a full ring is a problem.
        """
        before, self._seen = self._seen, self._ring.waits + self._passed
        self._outbox.retry()
        kept, self._dropped = self._dropped, sum(self._outbox.dropped().values())
        if self._dropped > kept:
            why = self._outbox.why_dropped
            self._state.alarm(f"the outbox dropped {self._dropped - kept} messages that were not sent: {why}")
        elif (problem := self._outbox.problem) is not None:
            self._state.alarm(f"the outbox's file {problem}")
        elif self._seen > before and hurried:
            self._state.alarm(OVERLOAD)
        else:
            self._state.alarm(warnings[0] if warnings else None)
