"""What lasts while parts are inspected: a trigger that waits, an outbox that drops or takes nothing, wrong pictures."""

from __future__ import annotations

from collections.abc import Sequence

from edge_inspect.edge.outbox import Outbox
from edge_inspect.edge.station.ring import FrameRing
from edge_inspect.edge.station.state import StationState

OVERLOAD = "the trigger waits: parts come faster than the engine inspects them"


class Alarms:
    """Raises a station's alarm for the worst of what lasts, until a look finds it over.

    Args:
        state: The station's state, which tells the alarm.
        outbox: Where its verdicts go.
        ring: Where its frames wait.
    """

    def __init__(self, state: StationState, outbox: Outbox, ring: FrameRing) -> None:
        self._state, self._outbox, self._ring = state, outbox, ring
        self._passed = self._seen = 0
        self._dropped = sum(outbox.dropped().values())

    def let_pass(self) -> None:
        """Count a part that goes by because the trigger has no room for it. Called by the trigger's thread."""
        self._passed += 1
        if self._outbox.problem is None:
            self._state.alarm(OVERLOAD)

    def look(self, warnings: Sequence[str], *, hurried: bool) -> None:
        """Look at what lasts.

        Args:
            warnings: The warnings of pictures, rejects, scores and the machine as sentences; the first one is said.
            hurried: Parts do not wait for the engine: that the ring is full is an alarm.
        """
        before, self._seen = self._seen, self._ring.waits + self._passed
        self._outbox.retry()
        kept, self._dropped = self._dropped, sum(self._outbox.dropped().values())
        if self._dropped > kept:
            why = self._outbox.why_dropped
            self._state.alarm(f"the outbox dropped {self._dropped - kept} messages unsent: {why}")
        elif (problem := self._outbox.problem) is not None:
            self._state.alarm(f"the outbox's file {problem}")
        elif self._seen > before and hurried:
            self._state.alarm(OVERLOAD)
        else:
            self._state.alarm(warnings[0] if warnings else None)
