"""The outbox: where every verdict waits until the broker has acknowledged it.

One `put` gives out the station's next sequence number and stores the messages that carry it, as one step: no number
is lost or used twice. The outbox is bounded; what goes first when it is full is the oldest verdict, then the oldest
defect. `SqliteOutbox` (edge/outbox_sqlite.py) is the durable one; `MemoryOutbox` forgets when the process ends.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

Kind = Literal["verdict", "defect"]
# In the order in which they are dropped.
KINDS: tuple[Kind, Kind] = ("verdict", "defect")

# A box without a battery clock starts in the past and jumps when it hears of the time: an age counted from
# before this moment (2024-01-01) says nothing.
CLOCK_PLAUSIBLE = 1_704_067_200.0


class Outgoing(NamedTuple):
    """A message to store."""

    topic: str
    payload: bytes
    kind: Kind


class Entry(NamedTuple):
    """A stored message. Ids rise in the order of the puts; they hold for the life of the process."""

    id: int
    station: str
    sequence: int
    kind: Kind
    topic: str
    payload: bytes
    created: float

    @property
    def size(self) -> int:
        """What the entry counts against the bound, in bytes."""
        return len(self.topic.encode()) + len(self.payload)


class Depth(NamedTuple):
    """How much waits."""

    entries: int
    bytes: int


Make = Callable[[int], Sequence[Outgoing]]


class Outbox(Protocol):
    """What the engine thread puts into and the publishers drain. Every method may be called from any thread."""

    @property
    def recovered_from(self) -> Path | None:
        """Where a damaged outbox was set aside when this one was opened."""

    def put(self, station: str, make: Make) -> int:
        """Give `make` the station's next sequence number, store the messages it returns, and return the number.

        An exception in `make` leaves the outbox and the number as they were. A full outbox drops, it never refuses.
        """

    def pending(self, station: str, after: int, limit: int) -> list[Entry]:
        """Return the station's oldest entries with an id above `after`, in order, `limit` at most."""

    def remove(self, ids: Iterable[int]) -> None:
        """Forget entries that the broker has acknowledged. An unknown id is no mistake."""

    def drop(self, ids: Iterable[int]) -> None:
        """Forget entries that the broker can never take, and count them as dropped."""

    def depth(self) -> Depth:
        """Return how much waits, of all stations."""

    def sequence(self, station: str) -> int:
        """Return the last sequence number given out for a station; 0 before the first."""

    def dropped(self) -> dict[Kind, int]:
        """Return how many entries of each kind were dropped since the outbox was made."""

    def subscribe(self, station: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` after every put of the station; return the function that ends this."""

    def close(self) -> None:
        """Close the outbox; what it holds stays for the next process."""


class BoundedOutbox:
    """What both outboxes share: sequence numbers, counts, and waking the publishers."""

    recovered_from: Path | None = None

    def __init__(self, *, max_bytes: int, max_age_s: float, clock: Callable[[], float] = time.time) -> None:
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clock = clock
        self._lock = threading.RLock()
        self._sequences: dict[str, int] = {}
        self._dropped: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self._last_id = 0
        self._wakes: dict[str, list[Callable[[], None]]] = {}

    def put(self, station: str, make: Make) -> int:
        """See `Outbox.put`."""
        with self._lock:
            sequence = self._sequences.get(station, 0) + 1
            now = self._clock()
            entries = [
                Entry(self._last_id + number, station, sequence, message.kind, message.topic, message.payload, now)
                for number, message in enumerate(make(sequence), start=1)
            ]
            if not entries:
                raise ValueError(f"station {station!r}: a sequence number without a message would be a gap")
            self._store(entries)
            self._sequences[station] = sequence
            self._last_id = entries[-1].id
            wakes = list(self._wakes.get(station, ()))
        for wake in wakes:
            wake()
        return sequence

    def subscribe(self, station: str, wake: Callable[[], None]) -> Callable[[], None]:
        """See `Outbox.subscribe`."""
        with self._lock:
            self._wakes.setdefault(station, []).append(wake)

        def unsubscribe() -> None:
            with self._lock:
                self._wakes[station].remove(wake)

        return unsubscribe

    def sequence(self, station: str) -> int:
        """See `Outbox.sequence`."""
        with self._lock:
            return self._sequences.get(station, 0)

    def dropped(self) -> dict[Kind, int]:
        """See `Outbox.dropped`."""
        with self._lock:
            return dict(self._dropped)

    def _count_dropped(self, kinds: Iterable[Kind]) -> None:
        for kind in kinds:
            self._dropped[kind] += 1

    def _too_old(self) -> float:
        """Return the time before which an entry is too old."""
        return self._clock() - self._max_age_s

    def _store(self, entries: Sequence[Entry]) -> None:
        raise NotImplementedError


class EntryQueue:
    """Entries in memory, in order, with a bound. Not safe between threads by itself."""

    def __init__(self) -> None:
        self._all: dict[int, Entry] = {}
        self._by_kind: dict[Kind, OrderedDict[int, Entry]] = {kind: OrderedDict() for kind in KINDS}
        self._by_station: dict[str, OrderedDict[int, Entry]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._all)

    def add(self, entries: Iterable[Entry]) -> None:
        """Append entries, whose ids must rise."""
        for entry in entries:
            self._all[entry.id] = entry
            self._by_kind[entry.kind][entry.id] = entry
            self._by_station.setdefault(entry.station, OrderedDict())[entry.id] = entry
            self.bytes += entry.size

    def remove(self, ids: Iterable[int]) -> list[Entry]:
        """Take entries out and return those that were there."""
        found = [self._all.pop(number) for number in ids if number in self._all]
        for entry in found:
            del self._by_kind[entry.kind][entry.id]
            del self._by_station[entry.station][entry.id]
            self.bytes -= entry.size
        return found

    def pending(self, station: str, after: int, limit: int) -> list[Entry]:
        """Return the oldest entries of a station above an id."""
        found: list[Entry] = []
        for entry in self._by_station.get(station, OrderedDict()).values():
            if len(found) == limit:
                break
            if entry.id > after:
                found.append(entry)
        return found

    def entries(self) -> list[Entry]:
        """Return all entries in order."""
        return list(self._all.values())

    def trim(self, max_bytes: int, too_old: float) -> list[Entry]:
        """Drop what is too old and then what is too much, oldest verdicts first; return what was dropped."""
        trimmed: list[Entry] = []
        for limit, too_old_now in ((self.bytes, too_old), (max_bytes, 0.0)):
            for queue in self._by_kind.values():
                while queue:
                    oldest = next(iter(queue.values()))
                    if self.bytes <= limit and not CLOCK_PLAUSIBLE < oldest.created < too_old_now:
                        break
                    trimmed += self.remove([oldest.id])
        return trimmed


class MemoryOutbox(BoundedOutbox):
    """An outbox that forgets when the process ends: for tests, the demo, and a box without a disk to write to."""

    def __init__(
        self, *, max_bytes: int = 64 * 2**20, max_age_s: float = 7 * 86400.0, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(max_bytes=max_bytes, max_age_s=max_age_s, clock=clock)
        self._queue = EntryQueue()

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
            self._queue.remove(ids)

    def drop(self, ids: Iterable[int]) -> None:
        """See `Outbox.drop`."""
        with self._lock:
            self._count_dropped(entry.kind for entry in self._queue.remove(ids))

    def depth(self) -> Depth:
        """See `Outbox.depth`."""
        with self._lock:
            return Depth(len(self._queue), self._queue.bytes)

    def close(self) -> None:
        """See `Outbox.close`."""

    def _store(self, entries: Sequence[Entry]) -> None:
        self._queue.add(entries)
        self._count_dropped(entry.kind for entry in self._queue.trim(self._max_bytes, self._too_old()))
