"""The outbox: every verdict waits here until its sink has delivered it, that is, until the broker has acknowledged it.

One `put` assigns the station's next sequence number and stores the messages with this number, in one step. So no number
is lost or used twice. The outbox is limited in bytes and in age. When it is full, a policy says which messages are
dropped, but no defect is dropped while a verdict is left. Acknowledged messages are kept for a while in a history,
which is limited in bytes, for subscribers that have missed them. `SqliteOutbox` (edge/outbox/sqlite.py) is durable;
`MemoryOutbox` (edge/outbox/memory.py) loses its messages when the process ends.

The age of a message is the time during which a running process could have sent it. It is measured by the monotonic
clock and continues at the next start. The wall clock is not used: a box without a battery may set it by weeks when it
learns the time, and a message could not be sent while the box was switched off or suspended.

sqlite.py        the durable outbox: one SQLite file
file.py          locks and opens the file, and renames a damaged one
keeper.py        the threads that flush and checkpoint the file
statements.py    the SQL statements, and the choice of entries to drop
fault.py         the present fault of the file, logged once, with its remedy
memory.py        the outbox that loses its messages when the process ends
entry_queue.py   a queue of entries in memory
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

REFUSED = "the broker does not accept them; see the log for the reason"

log = logging.getLogger(__name__)


class Outgoing(NamedTuple):
    """A message to store.

    Attributes:
        address: Address to which the sink delivers the message, such as a topic. The outbox does not interpret it.
        payload: The message as JSON.
        kind: Kind of the message.
    """

    address: str
    payload: bytes
    kind: Kind


class Entry(NamedTuple):
    """A stored message.

    Attributes:
        id: Id of the entry; ids rise in the order of the puts, and are valid until the process ends.
        station: Name of the station.
        sequence: Sequence number of the part.
        kind: Kind of the message.
        address: Address to which the sink delivers the message.
        payload: The message as JSON.
        created: When it was stored, in seconds by the outbox's own clock, which runs while the outbox is open.
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
        """Bytes of address and payload, which count towards the outbox's limit."""
        return len(self.address.encode()) + len(self.payload)


class Depth(NamedTuple):
    """Number and bytes of the waiting messages."""

    entries: int
    bytes: int


Make = Callable[[int], Sequence[Outgoing]]


class Outbox(Protocol):
    """Holds the messages between the engine thread, which puts them in, and the sinks, which take them out.

    Every method may be called from any thread.
    """

    @property
    def recovered_from(self) -> Path | None:
        """Path to which a damaged outbox was renamed when this one was opened; `None` if it was not damaged."""

    @property
    def problem(self) -> str | None:
        """Fault of the file and its remedy, as a phrase that follows "the file"; `None` while all is well."""

    @property
    def why_dropped(self) -> str:
        """Reason why messages were last dropped; empty if none were."""

    def put(self, station: str, make: Make) -> int:
        """Call `make` with the station's next sequence number, store the messages it returns, and return the number.

        If `make` raises, outbox and number stay as they were. A full outbox drops messages, but never refuses a put.
        """

    def pending(self, station: str, after: int, limit: int) -> list[Entry]:
        """Return the station's oldest entries with an id above `after`, in order, at most `limit` of them."""

    def remove(self, ids: Iterable[int]) -> None:
        """Move entries that the broker has acknowledged to the history; unknown ids are ignored."""

    def drop(self, ids: Iterable[int]) -> None:
        """Delete entries that the broker can never accept, and count them as dropped."""

    def history(self, station: str, first: int, last: int, after: int, limit: int) -> list[Entry]:
        """Return acknowledged entries of the parts `first` to `last` with an id above `after`, in order."""

    def history_range(self, station: str) -> tuple[int, int] | None:
        """Return the first and the last part of a station in the history; `None` if it has none."""

    def depth(self) -> Depth:
        """Return number and bytes of the messages that wait, of all stations."""

    def sequence(self, station: str) -> int:
        """Return the last sequence number assigned for a station; 0 before the first."""

    def dropped(self) -> dict[Kind, int]:
        """Return the number of entries of each kind that were dropped since the outbox was created."""

    def subscribe(self, station: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake` when there is more to send for the station; return the function that ends this."""

    def flushing_s(self) -> float:
        """Return the seconds since the running flush of the disk began; 0 if none is running. Takes no lock."""

    def retry(self) -> None:
        """Move entries that are only in memory to the disk, if it can be written again. Every put does so too."""

    def close(self) -> None:
        """Close the outbox; its entries stay for the next process."""


class BoundedOutbox:
    """Base of both outboxes: sequence numbers, counts of dropped messages, and waking of the publishers."""

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
        """Wake the publishers of a station, because there is more to send."""
        with self._lock:
            wakes = list(self._wakes.get(station, ()))
        for wake in wakes:
            wake()

    def _count_dropped(self, kinds: Iterable[Kind]) -> None:
        for kind in kinds:
            self._dropped[kind] += 1

    def _log_dropped(self, old: Sequence[Kind], surplus: Sequence[Kind], full: str) -> None:
        """Log why messages were dropped unsent: they were too old, or there was no room for them because of `full`.

        The reason is logged only if it differs from the last one. Health tells how many messages were dropped.
        """
        if not old and not surplus:
            return
        aged = (
            f"they waited for longer than outbox.max_age_s, {self._max_age_s:g} s; find out why the broker does not "
            "accept them"
        )
        for kinds, why in ((old, aged), (surplus, full)):
            if kinds and why != self.why_dropped:
                self.why_dropped = why
                log.error("the outbox drops messages unsent: %s", why)

    @property
    def _full(self) -> str:
        return (
            f"outbox.max_bytes, {self._max_bytes}, is reached; find out why the broker does not accept them, or raise "
            "the limit"
        )

    def _now(self) -> float:
        """Return the present time of the outbox's own clock, in seconds."""
        return self._clock_began + self._clock()

    def _too_old(self) -> float:
        """Return the time of the outbox's own clock before which an entry is too old, in seconds."""
        return self._now() - self._max_age_s

    def _store(self, entries: Sequence[Entry]) -> None:
        raise NotImplementedError
