"""The outbox: where every verdict waits until its sink has delivered it, which is when the broker has acknowledged it.

One `put` gives out the station's next sequence number and stores the messages that carry it, as one step: no number
is lost or used twice. The outbox is bounded in bytes and age; a policy says what goes when it is full, but no defect
goes while there is a verdict. What the broker has acknowledged is kept for a while, in a history bounded in bytes, for
subscribers that have missed it. `SqliteOutbox` (edge/outbox/sqlite.py) is the durable one; `MemoryOutbox`
(edge/outbox/memory.py) forgets when the process ends.

An age is the time for which a process had the message and could send it. It is counted by the monotonic clock and goes
on at the next start. The wall clock has no part in it: a box without a battery sets that by weeks when it hears of the
time, and a message that waited while the box was switched off or suspended had no chance to be sent.

sqlite.py        the durable outbox: one SQLite file
file.py          the file is locked, opened, and set aside when it is damaged
keeper.py        the threads that flush and checkpoint it
statements.py    what is read from the file and written to it, and which entries have to go
fault.py         what is wrong with the file at present, said once
memory.py        the outbox that forgets when the process ends
entry_queue.py   entries in memory
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

Kind = Literal["verdict", "defect"]
WhenFull = Literal["drop_oldest", "drop_newest"]
# In the order in which they are dropped.
KINDS: tuple[Kind, Kind] = ("verdict", "defect")

REFUSED = "the broker does not take them; the log has more"

log = logging.getLogger(__name__)


class Outgoing(NamedTuple):
    """A message to store.

    Attributes:
        address: Where the sink delivers it, such as a topic. The outbox keeps it and does not read it.
        payload: The message as JSON.
        kind: Which message it is.
    """

    address: str
    payload: bytes
    kind: Kind


class Entry(NamedTuple):
    """A stored message. Ids rise in the order of the puts; they hold for the life of the process.

    `created` is when it was stored, in seconds by the outbox's own clock, which runs while the outbox is open.
    """

    id: int
    station: str
    sequence: int
    kind: Kind
    address: str
    payload: bytes
    created: float

    @property
    def size(self) -> int:
        """What the entry counts against the bound, in bytes."""
        return len(self.address.encode()) + len(self.payload)


class Depth(NamedTuple):
    """How much waits."""

    entries: int
    bytes: int


Make = Callable[[int], Sequence[Outgoing]]


class Outbox(Protocol):
    """Holds the messages between the engine thread, which puts them in, and the sinks, which take them out.

    Every method may be called from any thread.
    """

    @property
    def recovered_from(self) -> Path | None:
        """Where a damaged outbox was set aside when this one was opened."""

    @property
    def problem(self) -> str | None:
        """What is wrong with the file and what to do, to be put behind "the file"; `None` while all is well."""

    @property
    def why_dropped(self) -> str:
        """Why messages were dropped the last time that some were; empty where none were."""

    def put(self, station: str, make: Make) -> int:
        """Give `make` the station's next sequence number, store the messages it returns, and return the number.

        An exception in `make` leaves the outbox and the number as they were. A full outbox drops, it never refuses.
        """

    def pending(self, station: str, after: int, limit: int) -> list[Entry]:
        """Return the station's oldest entries with an id above `after`, in order, `limit` at most."""

    def remove(self, ids: Iterable[int]) -> None:
        """Take out entries that the broker has acknowledged; they go to the history. An unknown id is no mistake."""

    def drop(self, ids: Iterable[int]) -> None:
        """Forget entries that the broker can never take, and count them as dropped."""

    def history(self, station: str, first: int, last: int, after: int, limit: int) -> list[Entry]:
        """Return acknowledged entries of the parts `first` to `last` with an id above `after`, in order."""

    def history_range(self, station: str) -> tuple[int, int] | None:
        """Return the first and the last part of a station in the history; `None` where there is none."""

    def depth(self) -> Depth:
        """Return how much waits, of all stations."""

    def sequence(self, station: str) -> int:
        """Return the last sequence number given out for a station; 0 before the first."""

    def dropped(self) -> dict[Kind, int]:
        """Return how many entries of each kind were dropped since the outbox was made."""

    def subscribe(self, station: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` when there is more to send for the station; return the function that ends this."""

    def flushing_s(self) -> float:
        """Return for how long the disk has been at a flush; 0 while it is at none. Takes no lock."""

    def retry(self) -> None:
        """Move what is kept in memory alone to the disk, if that takes it again. A put does so too."""

    def close(self) -> None:
        """Close the outbox; what it holds stays for the next process."""


class BoundedOutbox:
    """What both outboxes share: sequence numbers, counts, and waking the publishers."""

    recovered_from: Path | None = None
    why_dropped = ""

    def __init__(
        self,
        *,
        max_bytes: int,
        max_age_s: float,
        when_full: WhenFull,
        history_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._when_full = when_full
        self._max_age_s = max_age_s
        self._history_bytes = history_bytes
        self._clock, self._clock_began = clock, 0.0
        self._lock = threading.RLock()
        self._sequences: dict[str, int] = {}
        self._dropped: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self._last_id = 0
        self._wakes: dict[str, list[Callable[[], None]]] = {}

    def put(self, station: str, make: Make) -> int:
        """See `Outbox.put`."""
        with self._lock:
            sequence = self._sequences.get(station, 0) + 1
            now = self._now()
            entries = [
                Entry(self._last_id + number, station, sequence, message.kind, message.address, message.payload, now)
                for number, message in enumerate(make(sequence), start=1)
            ]
            if not entries:
                raise ValueError(f"station {station!r}: a sequence number without a message would be a gap")
            self._store(entries)
            self._sequences[station] = sequence
            self._last_id = entries[-1].id
        self._announce(station)
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

    def flushing_s(self) -> float:
        """See `Outbox.flushing_s`."""
        return 0.0

    def retry(self) -> None:
        """See `Outbox.retry`."""

    def _announce(self, station: str) -> None:
        """Tell that there is more to send for a station."""
        with self._lock:
            wakes = list(self._wakes.get(station, ()))
        for wake in wakes:
            wake()

    def _count_dropped(self, kinds: Iterable[Kind]) -> None:
        for kind in kinds:
            self._dropped[kind] += 1

    def _tell_dropped(self, old: Sequence[Kind], surplus: Sequence[Kind], full: str) -> None:
        """Say why messages were dropped unsent: they were too old, or there was no room for them because of `full`.

        The reason is logged when it is another one than before; how many there were is told with the health.
        """
        if not old and not surplus:
            return
        aged = f"waited for more than outbox.max_age_s, {self._max_age_s:g} s; see why the broker does not take them"
        for kinds, why in ((old, aged), (surplus, full)):
            if kinds and why != self.why_dropped:
                self.why_dropped = why
                log.error("the outbox drops messages unsent: %s", why)

    @property
    def _full(self) -> str:
        return f"outbox.max_bytes, {self._max_bytes}, is reached; see why the broker does not take them, or raise it"

    def _now(self) -> float:
        """Return the time by the outbox's own clock."""
        return self._clock_began + self._clock()

    def _too_old(self) -> float:
        """Return the time before which an entry is too old, by the outbox's own clock."""
        return self._now() - self._max_age_s

    def _store(self, entries: Sequence[Entry]) -> None:
        raise NotImplementedError
