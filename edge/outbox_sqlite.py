"""The durable outbox: one SQLite file in WAL mode, used by one process.

A put is one transaction. With durability `full` it is on the disk when `put` returns; with `normal` it survives the
death of the process, and a power cut may take the last ones. Removing acknowledged entries is never flushed: what comes
back after a power cut is sent again, and the subscriber drops the repeat by its id.

While the disk takes nothing (full, or failing) entries are kept in memory, bounded alike, and moved to the file as soon
as it takes them; what is in memory, and the numbers given out meanwhile, do not survive the death of the process.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Literal

from edge.errors import OutboxError
from edge.outbox import CLOCK_PLAUSIBLE, KINDS, BoundedOutbox, Depth, Entry, EntryQueue, Kind
from edge.outbox_file import ENTRY_COLUMNS, connect, lock, open_file, read_damaged, transaction

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_OVERFLOW_BYTES = 32 * 2**20


class SqliteOutbox(BoundedOutbox):
    """An outbox in a SQLite file.

    Args:
        path: the file; made when it is not there, set aside as `<name>.corrupt-<time>` when it is damaged.
        durability: what a put survives, see above.
        max_bytes: bound of topics and payloads; the file is somewhat larger.
        max_age_s: older entries are dropped at the next put.
        clock: seconds since 1970.

    Raises:
        OutboxError: the file cannot be used, or another process uses it.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: Literal["normal", "full"] = "normal",
        max_bytes: int = 256 * 2**20,
        max_age_s: float = 7 * 86400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(max_bytes=max_bytes, max_age_s=max_age_s, clock=clock)
        self._path = path
        self._stored = Depth(0, 0)
        self._overflow = EntryQueue()
        self._failing = False
        self._saved_dropped = dict(self._dropped)
        self._retry_at = 0.0
        self._unremoved: set[int] = set()
        self._resources = ExitStack()
        with ExitStack() as opened:
            opened.callback(os.close, lock(path))
            try:
                self._db, self.recovered_from = open_file(path)
                opened.callback(self._db.close)
                self._drain_db = opened.enter_context(closing(connect(path)))
                self._load()
                if self.recovered_from is not None:
                    self._salvage(self.recovered_from)
                self._db.execute(f"PRAGMA synchronous = {durability.upper()}")
            except (sqlite3.Error, OSError) as problem:
                raise OutboxError(
                    f"outbox {path}: {problem}; check that the disk is not full and this user may write to the folder"
                ) from problem
            self._resources = opened.pop_all()

    def __enter__(self) -> SqliteOutbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def pending(self, station: str, after: int, limit: int) -> list[Entry]:
        """See `Outbox.pending`."""
        query = f"SELECT {ENTRY_COLUMNS} FROM entries WHERE station = ? AND id > ? ORDER BY id LIMIT ?"
        with self._lock:
            try:
                rows = self._drain_db.execute(query, (station, after, limit + len(self._unremoved))).fetchall()
            except sqlite3.Error as problem:
                self._report(problem)
                rows = []
            found = [entry for entry in map(Entry._make, rows) if entry.id not in self._unremoved]
            return (found + self._overflow.pending(station, after, limit))[:limit]

    def remove(self, ids: Iterable[int]) -> None:
        """See `Outbox.remove`."""
        with self._lock:
            self._take_out(list(ids))

    def drop(self, ids: Iterable[int]) -> None:
        """See `Outbox.drop`."""
        with self._lock:
            self._count_dropped(self._take_out(list(ids)))

    def depth(self) -> Depth:
        """See `Outbox.depth`."""
        with self._lock:
            return Depth(self._stored.entries + len(self._overflow), self._stored.bytes + self._overflow.bytes)

    def close(self) -> None:
        """See `Outbox.close`."""
        with self._lock:
            if len(self._overflow) or self._dropped != self._saved_dropped:
                try:
                    self._write(self._overflow.entries())
                except sqlite3.Error as problem:
                    log.error("outbox %s: %d messages in memory are lost: %s", self._path, len(self._overflow), problem)
            self._overflow = EntryQueue()
            self._resources.close()

    def _store(self, entries: Sequence[Entry]) -> None:
        if not self._failing or time.monotonic() >= self._retry_at:
            try:
                self._write([*self._overflow.entries(), *entries])
            except sqlite3.Error as problem:
                self._report(problem)
            else:
                if self._failing:
                    log.warning("outbox %s: the disk takes messages again", self._path)
                self._overflow = EntryQueue()
                self._failing = False
                return
        self._overflow.add(entries)
        trimmed = self._overflow.trim(min(self._max_bytes, _OVERFLOW_BYTES), self._too_old())
        self._count_dropped(entry.kind for entry in trimmed)

    def _report(self, problem: sqlite3.Error) -> None:
        if not self._failing:
            log.error(
                "outbox %s: %s; messages are kept in memory until it works again: make room on the disk or replace it",
                self._path,
                problem,
            )
        self._failing = True
        self._retry_at = time.monotonic() + _RETRY_S

    def _write(self, entries: Sequence[Entry]) -> None:
        """Store entries, their sequence numbers, and what has to go for them, in one transaction."""
        sequences = {entry.station: entry.sequence for entry in entries}
        if self._failing:
            sequences = {**self._sequences, **sequences}
        stored = Depth(self._stored.entries + len(entries), self._stored.bytes + sum(entry.size for entry in entries))
        with transaction(self._db):
            self._db.executemany(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [(*entry, entry.size) for entry in entries]
            )
            self._db.executemany("INSERT OR REPLACE INTO sequences VALUES (?, ?)", sequences.items())
            trimmed = self._choose(stored.bytes)
            self._db.executemany("DELETE FROM entries WHERE id = ?", [(number,) for number, _, _ in trimmed])
            gone = Counter(kind for _, kind, _ in trimmed)
            dropped = {kind: self._dropped[kind] + gone[kind] for kind in KINDS}
            if dropped != self._saved_dropped:
                self._db.executemany("INSERT OR REPLACE INTO dropped VALUES (?, ?)", dropped.items())
        self._dropped = dropped
        self._saved_dropped = dict(dropped)
        self._stored = Depth(stored.entries - len(trimmed), stored.bytes - sum(size for _, _, size in trimmed))
        self._unremoved.difference_update(number for number, _, _ in trimmed)

    def _choose(self, stored_bytes: int) -> list[tuple[int, Kind, int]]:
        """Return id, kind and size of what has to go: what is too old, then what is too much, oldest verdicts first."""
        query = "SELECT id, created, size FROM entries WHERE kind = ? ORDER BY id"
        chosen: dict[int, tuple[int, Kind, int]] = {}
        too_old = self._too_old()
        for kind in KINDS:
            for number, created, size in self._db.execute(query, (kind,)):
                if not CLOCK_PLAUSIBLE < created < too_old:
                    break
                chosen[number] = (number, kind, size)
                stored_bytes -= size
        for kind in KINDS:
            if stored_bytes <= self._max_bytes:
                break
            for number, _, size in self._db.execute(query, (kind,)):
                if stored_bytes <= self._max_bytes:
                    break
                if number not in chosen:
                    chosen[number] = (number, kind, size)
                    stored_bytes -= size
        return list(chosen.values())

    def _take_out(self, ids: list[int]) -> list[Kind]:
        """Remove entries and return the kinds of those that were there."""
        in_memory = self._overflow.remove(ids)
        found: list[tuple[int, Kind, int]] = []
        wanted = self._unremoved.union(ids) - {entry.id for entry in in_memory}
        try:
            with transaction(self._drain_db):
                for number in sorted(wanted):
                    query = "SELECT id, kind, size FROM entries WHERE id = ?"
                    found += self._drain_db.execute(query, (number,)).fetchall()
                    self._drain_db.execute("DELETE FROM entries WHERE id = ?", (number,))
        except sqlite3.Error as problem:
            self._report(problem)
            self._unremoved = wanted
            found = []
        else:
            self._unremoved = set()
        self._stored = Depth(self._stored.entries - len(found), self._stored.bytes - sum(size for _, _, size in found))
        return [*(entry.kind for entry in in_memory), *(kind for _, kind, _ in found)]

    def _load(self) -> None:
        self._sequences = dict(self._db.execute("SELECT station, last FROM sequences"))
        self._dropped.update(self._db.execute("SELECT kind, count FROM dropped"))
        self._saved_dropped = dict(self._dropped)
        totals = self._db.execute(
            "SELECT COUNT(*), COALESCE(SUM(size), 0), COALESCE(MAX(id), 0) FROM entries"
        ).fetchone()
        self._stored = Depth(*totals[:2])
        self._last_id = totals[2]

    def _salvage(self, damaged: Path) -> None:
        entries, sequences = read_damaged(damaged)
        if not sequences:
            log.error("outbox %s: nothing could be read of %s; sequence numbers start again at 1", self._path, damaged)
            return
        self._sequences = sequences
        with transaction(self._db):
            self._db.executemany("INSERT INTO sequences VALUES (?, ?)", sequences.items())
        if entries:
            self._write(entries)
            self._last_id = entries[-1].id
        log.warning(
            "outbox %s: %d messages and the numbers of %d stations were read from %s",
            self._path,
            len(entries),
            len(sequences),
            damaged,
        )
