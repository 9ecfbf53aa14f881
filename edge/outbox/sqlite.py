"""The durable outbox: one SQLite file in WAL mode, used by one process.

A put is one transaction, so it survives the death of the process. With durability `full`, a message is handed to the
publisher only when it is on the disk too (edge/outbox/keeper.py flushes in groups). A power cut then loses no published
message, and of the others at most those of the last hundredths of a second. With `normal` it may lose some seconds.
Nothing waits until the removal of acknowledged entries is on the disk: entries that come back after a power cut are
sent again, and subscribers drop the repeats by their id.

While the file cannot be written (the disk is full or fails, or another program has locked the file), entries are kept
in memory within the same limits, and moved to the file as soon as it can be written again. Entries in memory, and the
sequence numbers assigned meanwhile, do not survive the death of the process. If another program has locked the file,
one part waits for it for 200 ms; later parts do not wait until it has released the file.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Literal, TypeVar

from edge_inspect.edge.contract.ids import sort_after
from edge_inspect.edge.errors import OutboxError
from edge_inspect.edge.outbox import KINDS, REFUSED, BoundedOutbox, Depth, Entry, WhenFull, statements
from edge_inspect.edge.outbox.entry_queue import EntryQueue
from edge_inspect.edge.outbox.fault import Fault, describe
from edge_inspect.edge.outbox.file import connect, lock, open_file, read_damaged, set_patience
from edge_inspect.edge.outbox.keeper import Checkpointer, Flusher
from edge_inspect.edge.sqlite_file import transaction

log = logging.getLogger(__name__)

Found = TypeVar("Found")

_OVERFLOW_BYTES = 32 * 2**20
_MEMORY_FULL = f"the outbox's file cannot be written, and memory keeps at most {_OVERFLOW_BYTES} bytes"


class SqliteOutbox(BoundedOutbox):
    """An outbox in a SQLite file.

    Args:
        path: Path of the file. It is created if it is missing, and renamed to `<name>.corrupt-<time>` if it is damaged.
        durability: What a put survives, see above.
        max_bytes: Limit of the waiting addresses and payloads, in bytes; the file is somewhat larger.
        max_age_s: Limit of an entry's age in seconds, see edge/outbox/__init__.py; older ones are dropped at the next
            put.
        when_full: Whether the oldest or the newest verdicts are dropped when the limit is reached; the same for defects
            when no verdict is left.
        history_bytes: Limit of the history of acknowledged messages, in bytes.
        clock: Monotonic clock, in seconds.

    Raises:
        OutboxError: The file cannot be used, or another process uses it.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: Literal["normal", "full"] = "normal",
        max_bytes: int = 256 * 2**20,
        max_age_s: float = 7 * 86400.0,
        when_full: WhenFull = "drop_oldest",
        history_bytes: int = 64 * 2**20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            max_bytes=max_bytes, max_age_s=max_age_s, when_full=when_full, history_bytes=history_bytes, clock=clock
        )
        self._path = path
        self._stored = Depth(0, 0)
        self._sent_bytes = 0
        self._stored_up_to = self._durable_up_to = 0
        self._flusher: Flusher | None = None
        self._flush_began: float | None = None
        self._overflow = EntryQueue()
        self._saved_dropped = dict(self._dropped)
        self._fault = Fault(path)
        self._unremoved: set[int] = set()
        self._resources = ExitStack()
        with ExitStack() as opened:
            opened.callback(os.close, lock(path))
            try:
                self.database, self.recovered_from = open_file(path)
                opened.callback(self.database.close)
                self._drain_db = opened.enter_context(closing(connect(path)))
                self._checkpoints = opened.enter_context(closing(Checkpointer(path, self._lock)))
                self._fault.watch()
                self._load()
                if self.recovered_from is not None:
                    self._salvage(self.recovered_from)
                if durability == "full":
                    self._flusher = opened.enter_context(closing(Flusher(path, self._flush, self._announce_all)))
                    self._flusher.ask()
            except (sqlite3.Error, OSError) as problem:
                raise OutboxError(f"outbox {path}: {describe(path, problem)}") from problem
            self._be_patient(True)
            self._resources = opened.pop_all()

    def __enter__(self) -> SqliteOutbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def problem(self) -> str | None:
        """See `Outbox.problem`."""
        return self._fault.problem

    def pending(self, station: str, after: int, limit: int) -> list[Entry]:
        """See `Outbox.pending`."""
        with self._lock:
            up_to = self._stored_up_to if self._flusher is None else self._durable_up_to
            stored = self._read(statements.read_waiting, station, after, up_to, limit + len(self._unremoved))
            if stored is None:  # entries in memory must not be sent before those in the file
                return []
            found = [entry for entry in stored if entry.id not in self._unremoved]
            if up_to == self._stored_up_to:
                found += self._overflow.pending(station, after, limit)
            return found[:limit]

    def remove(self, ids: Iterable[int]) -> None:
        """See `Outbox.remove`."""
        with self._lock:
            removed = self._take_out(list(ids), into_history=True)
            self._sent_bytes += sum(size for number, _, size in removed if number <= self._stored_up_to)
            if self._sent_bytes > self._history_bytes:
                self._trim_history()

    def drop(self, ids: Iterable[int]) -> None:
        """See `Outbox.drop`."""
        with self._lock:
            removed = self._take_out(list(ids), into_history=False)
            self._count_dropped(kind for _, kind, _ in removed)
            self.why_dropped = REFUSED

    def history(self, station: str, first: int, last: int, after: int, limit: int) -> list[Entry]:
        """See `Outbox.history`."""
        with self._lock:
            return self._read(statements.read_history, station, first, last, after, limit) or []

    def history_range(self, station: str) -> tuple[int, int] | None:
        """See `Outbox.history_range`."""
        with self._lock:
            return self._read(statements.read_history_range, station)

    def depth(self) -> Depth:
        """See `Outbox.depth`."""
        with self._lock:
            return Depth(self._stored.entries + len(self._overflow), self._stored.bytes + self._overflow.bytes)

    def close(self) -> None:
        """See `Outbox.close`."""
        with self._lock:
            if len(self._overflow) or self._unremoved or self._dropped != self._saved_dropped:
                try:
                    self._be_patient(True)
                    self._write(self._overflow.entries())
                    self.remove(())
                except sqlite3.Error as problem:
                    log.error(
                        "outbox %s: %d messages in memory are lost: %s",
                        self._path,
                        len(self._overflow),
                        describe(self._path, problem),
                    )
            self._overflow = EntryQueue()
        self._resources.close()

    def retry(self) -> None:
        """See `Outbox.retry`."""
        self._fault.look()
        with self._lock:
            if self._fault.text is None or not self._fault.due or not self._try_to_write(self._overflow.entries()):
                return
            self.remove(())
        if self._flusher is not None:
            self._flusher.ask()

    def _store(self, entries: Sequence[Entry]) -> None:
        if self._fault.due and self._try_to_write([*self._overflow.entries(), *entries]):
            return
        self._overflow.add(entries)
        old = [entry.kind for entry in self._overflow.drop_old(self._too_old())]
        bound = min(self._max_bytes, _OVERFLOW_BYTES)
        surplus = [entry.kind for entry in self._overflow.drop_surplus(bound, self._when_full)]
        self._count_dropped(old + surplus)
        self._log_dropped(old, surplus, _MEMORY_FULL)

    def _try_to_write(self, entries: Sequence[Entry]) -> bool:
        """Write entries to the file and empty the memory; return whether the file could be written."""
        try:
            self._write(entries)
        except sqlite3.Error as problem:
            self._report(problem)
            return False
        self._overflow = EntryQueue()
        if self._fault.text is not None:
            self._fault.clear()
            self._be_patient(True)
        return True

    def _announce(self, station: str) -> None:
        """See `BoundedOutbox._announce`. With durability `full`, the flush wakes the publishers, not the put."""
        if self._flusher is None:
            super()._announce(station)
        else:
            self._flusher.ask()

    def flush(self) -> None:
        """Flush all earlier puts, with durability `full`; a thread does so anyway, some milliseconds later."""
        if self._flusher is not None:
            self._flusher.flush()

    def flushing_s(self) -> float:
        """See `Outbox.flushing_s`."""
        began = self._flush_began
        return 0.0 if began is None else time.monotonic() - began

    def _flush(self, file: int) -> None:
        with self._lock:
            up_to, durable = self._stored_up_to, self._durable_up_to
        if up_to > durable:
            self._flush_began = time.monotonic()
            try:
                os.fdatasync(file)
            except OSError as problem:
                # The messages are sent although they are not safe on the disk.
                self._report(problem)
            self._flush_began = None
            self._durable_up_to = up_to

    def _announce_all(self) -> None:
        for station in list(self._wakes):
            super()._announce(station)

    def _report(self, problem: Exception) -> None:
        self._fault.note(problem)
        self._be_patient(False)

    def _be_patient(self, waits: bool) -> None:
        """Set whether to wait for another program that has locked the file: only one part waits for it."""
        for connection in (self.database, self._drain_db):
            with suppress(sqlite3.Error):  # the connection is closed
                set_patience(connection, waits=waits)

    def _write(self, entries: Sequence[Entry]) -> None:
        """Store entries and their sequence numbers, and delete the entries to drop, in one transaction."""
        sequences = {entry.station: entry.sequence for entry in entries}
        if self._fault.text is not None:
            sequences = {**self._sequences, **sequences}
        stored = Depth(self._stored.entries + len(entries), self._stored.bytes + sum(entry.size for entry in entries))
        with transaction(self.database):
            statements.write(self.database, entries, sequences)
            old, surplus = statements.choose_to_drop(
                self.database, self._too_old(), stored.bytes - self._max_bytes, self._when_full
            )
            trimmed = old + surplus
            statements.delete(self.database, [number for number, _, _ in trimmed])
            gone = Counter(kind for _, kind, _ in trimmed)
            dropped = {kind: self._dropped[kind] + gone[kind] for kind in KINDS}
            if dropped != self._saved_dropped:
                statements.write_dropped(self.database, dropped)
        self._dropped = dropped
        self._saved_dropped = dict(dropped)
        self._stored = Depth(stored.entries - len(trimmed), stored.bytes - sum(size for _, _, size in trimmed))
        self._unremoved.difference_update(number for number, _, _ in trimmed)
        if entries:
            self._stored_up_to = entries[-1].id
        self._checkpoints.count()
        self._log_dropped([kind for _, kind, _ in old], [kind for _, kind, _ in surplus], self._full)

    def _take_out(self, ids: list[int], *, into_history: bool) -> list[statements.Row]:
        """Delete waiting entries or move them to the history; return id, kind and size of those that were waiting."""
        in_memory = self._overflow.remove(ids)
        wanted = self._unremoved.union(ids) - {entry.id for entry in in_memory}
        try:
            with transaction(self._drain_db):
                found = statements.take_out(self._drain_db, wanted, into_history=into_history)
        except sqlite3.Error as problem:
            self._report(problem)
            self._unremoved = wanted
            found = []
        else:
            self._unremoved = set()
        freed = sum(size for _, _, size in found)
        self._stored = Depth(self._stored.entries - len(found), self._stored.bytes - freed)
        self._checkpoints.count()
        return [*found, *((entry.id, entry.kind, entry.size) for entry in in_memory)]

    def _trim_history(self) -> None:
        """Delete the oldest acknowledged entries above the limit; at least a 256th of it, so not at every part."""
        try:
            with transaction(self._drain_db):
                excess = self._sent_bytes - self._history_bytes
                chosen, freed = statements.choose_old_history(self._drain_db, excess, self._history_bytes // 256)
                statements.delete(self._drain_db, chosen)
        except sqlite3.Error as problem:
            self._report(problem)
        else:
            self._sent_bytes -= freed

    def _read(self, read: Callable[..., Found], *arguments: object) -> Found | None:
        """Return the result of a statement; `None` if the file cannot be read now."""
        try:
            return read(self._drain_db, *arguments)
        except sqlite3.Error as problem:
            self._report(problem)
            return None

    def _load(self) -> None:
        self._sequences = dict(self.database.execute("SELECT station, last FROM sequences"))
        self._dropped.update(self.database.execute("SELECT kind, count FROM dropped"))
        self._saved_dropped = dict(self._dropped)
        totals = statements.read_totals(self.database)
        self._stored, self._sent_bytes = Depth(totals.entries, totals.bytes), totals.history_bytes
        self._last_id = self._stored_up_to = totals.last_id
        newest = self.database.execute("SELECT created, payload FROM entries WHERE id = ?", (self._last_id,)).fetchone()
        if newest is not None:
            self._go_on_after(*newest)

    def _go_on_after(self, created: float, payload: bytes) -> None:
        """Continue the outbox's clock where an earlier process ended, and make ids that sort after its newest one."""
        self._clock_began = created - self._clock()
        with suppress(ValueError, KeyError, TypeError):
            sort_after(json.loads(payload)["id"])

    def _salvage(self, damaged: Path) -> None:
        entries, self._sequences = read_damaged(self._path, damaged)
        with transaction(self.database):
            statements.write(self.database, [], self._sequences)
        if entries:
            self._go_on_after(entries[-1].created, entries[-1].payload)
            self._write(entries)
            self._last_id = entries[-1].id
