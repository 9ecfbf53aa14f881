"""The outbox in memory: for tests, the demo, and a box without a writable disk. Its messages end with the process."""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from edge_inspect.edge.outbox import REFUSED, BoundedOutbox, Depth, Entry, WhenFull
from edge_inspect.edge.outbox.entry_queue import EntryQueue


class MemoryOutbox(BoundedOutbox):
    """An outbox in memory. Its limits mean the same as those of `SqliteOutbox`."""

    problem: str | None = None

    def __init__(
        self,
        *,
        max_bytes: int = 64 * 2**20,
        max_age_s: float = 7 * 86400.0,
        when_full: WhenFull = "drop_oldest",
        history_bytes: int = 8 * 2**20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            max_bytes=max_bytes, max_age_s=max_age_s, when_full=when_full, history_bytes=history_bytes, clock=clock
        )
        self._queue = EntryQueue()
        self._history: list[Entry] = []
        self._sent_bytes = 0

    def __enter__(self) -> MemoryOutbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def pending(self, station: str, after: int, limit: int) -> list[Entry]:
        """See `Outbox.pending`."""
        with self._lock:
            return self._queue.pending(station, after, limit)

    def remove(self, ids: Iterable[int]) -> None:
        """See `Outbox.remove`."""
        with self._lock:
            for entry in self._queue.remove(ids):
                insort(self._history, entry)
                self._sent_bytes += entry.size
            while self._sent_bytes > self._history_bytes:
                self._sent_bytes -= self._history.pop(0).size

    def drop(self, ids: Iterable[int]) -> None:
        """See `Outbox.drop`."""
        with self._lock:
            self._count_dropped(entry.kind for entry in self._queue.remove(ids))
            self.why_dropped = REFUSED

    def history(self, station: str, first: int, last: int, after: int, limit: int) -> list[Entry]:
        """See `Outbox.history`."""
        with self._lock:
            kept = (entry for entry in self._history if entry.station == station and entry.id > after)
            return list(islice((entry for entry in kept if first <= entry.sequence <= last), limit))

    def history_range(self, station: str) -> tuple[int, int] | None:
        """See `Outbox.history_range`."""
        with self._lock:
            kept = [entry.sequence for entry in self._history if entry.station == station]
        return (kept[0], kept[-1]) if kept else None

    def depth(self) -> Depth:
        """See `Outbox.depth`."""
        with self._lock:
            return Depth(len(self._queue), self._queue.bytes)

    def close(self) -> None:
        """See `Outbox.close`."""

    def _store(self, entries: Sequence[Entry]) -> None:
        self._queue.add(entries)
        old = [entry.kind for entry in self._queue.drop_old(self._too_old())]
        surplus = [entry.kind for entry in self._queue.drop_surplus(self._max_bytes, self._when_full)]
        self._count_dropped(old + surplus)
        self._log_dropped(old, surplus, self._full)
