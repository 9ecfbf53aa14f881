"""The parts of one station that wait for their defect message, in the order in which their verdicts came."""

from __future__ import annotations

from edge_inspect.edge.opcua.received_messages import ReceivedPart

HOLD_S = 0.5
"""Longest time in seconds that a rejected part waits for its regions, which come in a message of their own."""
_MOST = 1000


class PartQueue:
    """Brings the verdict and the defect of a rejected part together. Used by one thread.

    A rejected part waits for its defect, and the parts behind it wait with it, so that their order stays.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[ReceivedPart, float]] = {}

    def take(self, part: ReceivedPart, now: float) -> None:
        """Add a part, or the defect of a part that waits.

        Args:
            part: The part. A defect whose verdict does not wait is a part of its own.
            now: Seconds of the monotonic clock.
        """
        known = self._waiting.get(part.id)
        if known is None or part.complete:
            self._waiting[part.id] = (part, now if known is None else known[1])

    def release(self, now: float) -> list[ReceivedPart]:
        """Return the parts that need not wait any longer, in order."""
        ready: list[ReceivedPart] = []
        for part, since in self._waiting.values():
            if not part.complete and now - since < HOLD_S and len(self._waiting) - len(ready) <= _MOST:
                break
            ready.append(part)
        for part in ready:
            del self._waiting[part.id]
        return ready

    def __len__(self) -> int:
        """Return the number of parts that wait."""
        return len(self._waiting)
