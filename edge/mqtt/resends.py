"""Parts to be sent again, because a subscriber has missed them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from edge_inspect.edge.outbox import Entry, Outbox

_WAITING = 16


class Resends:
    """Requests for parts of one station's history, one after another. `ask` may be called from any thread.

    A request is done when the broker has acknowledged all of it; after a lost connection it begins anew.

    Args:
        outbox: Whose history it is.
        station: The station.
    """

    def __init__(self, outbox: Outbox, station: str) -> None:
        self._outbox, self._station = outbox, station
        self._lock = threading.Lock()
        self._requests: deque[tuple[int, int]] = deque()
        self._after = 0
        self._outstanding: set[int] = set()
        self._skipped: set[int] = set()

    def ask(self, first: int, last: int) -> bool:
        """Have the parts `first` to `last` sent again; return whether there was room for the request."""
        with self._lock:
            if len(self._requests) >= _WAITING:
                return False
            self._requests.append((first, last))
            return True

    def begin_anew(self) -> None:
        """Begin anew after a lost connection: what was sent may not have arrived."""
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
        """Skip a message that the broker does not take any more."""
        self._skipped.add(identity)
        self._outstanding.discard(identity)

    def acknowledge(self, ids: Iterable[int]) -> None:
        """Note that the broker has these."""
        self._outstanding.difference_update(ids)
