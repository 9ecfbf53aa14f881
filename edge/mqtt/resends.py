"""Requests to send parts again that a subscriber has missed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from edge_inspect.edge.outbox import Entry, Outbox

_WAITING = 16


class Resends:
    """Requests for parts of one station's history, served one after another. `ask` may be called from any thread.

    A request is finished when the broker has acknowledged all of its messages. After a lost connection it starts again.

    Args:
        outbox: Outbox with the history.
        station: Name of the station.
    """

    def __init__(self, outbox: Outbox, station: str) -> None:
        self._outbox, self._station = outbox, station
        self._lock = threading.Lock()
        self._requests: deque[tuple[int, int]] = deque()
        self._after = 0
        self._outstanding: set[int] = set()
        self._skipped: set[int] = set()

    def ask(self, first: int, last: int) -> bool:
        """Request the parts `first` to `last`; return false if too many requests wait already."""
        with self._lock:
            if len(self._requests) >= _WAITING:
                return False
            self._requests.append((first, last))
            return True

    def start_connection(self) -> None:
        """Start the present request again after a lost connection, because its messages may not have arrived."""
        self._after = 0
        self._outstanding.clear()

    def next(self, limit: int) -> list[Entry]:
        """Return the next entries to send, in order."""
        if not self._requests:
            return []
        entries = self._outbox.history(self._station, *self._requests[0], self._after, limit)
        if entries:
            self._after = entries[-1].id
            entries = [entry for entry in entries if entry.id not in self._skipped]
            self._outstanding.update(entry.id for entry in entries)
        elif not self._outstanding:
            with self._lock:
                self._requests.popleft()
            self._after = 0
            self._skipped.clear()
        return entries

    def skip(self, identity: int) -> None:
        """Skip a message, by its entry's id, that the broker does not accept."""
        self._skipped.add(identity)
        self._outstanding.discard(identity)

    def acknowledge(self, ids: Iterable[int]) -> None:
        """Note that the broker has acknowledged the entries with these ids."""
        self._outstanding.difference_update(ids)
