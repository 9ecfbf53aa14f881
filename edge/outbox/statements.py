"""The SQL statements of the outbox's file: waiting entries, history, and the choice of entries to drop.

Each function raises `sqlite3.Error` if the file cannot be read or written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from edge_inspect.edge.outbox import KINDS, Entry, Kind, WhenFull
from edge_inspect.edge.outbox.file import ENTRY_COLUMNS

Row = tuple[int, Kind, int]
"""Id, kind and size of an entry."""


class Totals(NamedTuple):
    """Numbers and sizes of the entries in the file.

    Attributes:
        entries: Number of waiting entries.
        bytes: Bytes of the waiting entries.
        history_bytes: Bytes of the acknowledged entries.
        last_id: Id of the newest entry, acknowledged or not; 0 if there is none.
    """

    entries: int
    bytes: int
    history_bytes: int
    last_id: int


def read_totals(database: sqlite3.Connection) -> Totals:
    """Return numbers and sizes of the entries in the file."""
    found = database.execute(
        "SELECT COUNT(*) FILTER (WHERE sent = 0), COALESCE(SUM(size) FILTER (WHERE sent = 0), 0), "
        "COALESCE(SUM(size) FILTER (WHERE sent = 1), 0), COALESCE(MAX(id), 0) FROM entries"
    ).fetchone()
    return Totals(*found)


def read_waiting(database: sqlite3.Connection, station: str, after: int, up_to: int, limit: int) -> list[Entry]:
    """Return a station's oldest waiting entries with an id above `after` and up to `up_to`, in order."""
    query = f"""SELECT {ENTRY_COLUMNS} FROM entries
        WHERE sent = 0 AND station = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?"""
    return [Entry._make(row) for row in database.execute(query, (station, after, up_to, limit))]


def read_history(
    database: sqlite3.Connection, station: str, first: int, last: int, after: int, limit: int
) -> list[Entry]:
    """Return acknowledged entries of the parts `first` to `last` with an id above `after`, in order."""
    query = f"""SELECT {ENTRY_COLUMNS} FROM entries INDEXED BY entries_sent
        WHERE sent = 1 AND id > ? AND station = ? AND sequence BETWEEN ? AND ? ORDER BY id LIMIT ?"""
    return [Entry._make(row) for row in database.execute(query, (after, station, first, last, limit))]


def read_history_range(database: sqlite3.Connection, station: str) -> tuple[int, int] | None:
    """Return the first and the last part of a station in the history; `None` if it has none."""
    query = """SELECT MIN(sequence), MAX(sequence) FROM entries INDEXED BY entries_sent
        WHERE sent = 1 AND station = ? HAVING COUNT(*)"""
    found = database.execute(query, (station,)).fetchone()
    return None if found is None else (found[0], found[1])


def write(database: sqlite3.Connection, entries: Sequence[Entry], sequences: Mapping[str, int]) -> None:
    """Store waiting entries, and the last sequence number of each station."""
    database.executemany(
        "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)", [(*entry, entry.size) for entry in entries]
    )
    database.executemany("INSERT OR REPLACE INTO sequences VALUES (?, ?)", sequences.items())


def write_dropped(database: sqlite3.Connection, dropped: Mapping[Kind, int]) -> None:
    """Store how many entries of each kind were dropped."""
    database.executemany("INSERT OR REPLACE INTO dropped VALUES (?, ?)", dropped.items())


def take_out(database: sqlite3.Connection, ids: Iterable[int], *, into_history: bool) -> list[Row]:
    """Delete waiting entries or move them to the history, and return those that were waiting."""
    change = "UPDATE entries SET sent = 1" if into_history else "DELETE FROM entries"
    found: list[Row] = []
    for number in sorted(ids):
        query = "SELECT id, kind, size FROM entries WHERE id = ? AND sent = 0"
        found += database.execute(query, (number,)).fetchall()
        database.execute(f"{change} WHERE id = ? AND sent = 0", (number,))
    return found


def delete(database: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Delete entries."""
    database.executemany("DELETE FROM entries WHERE id = ?", [(number,) for number in ids])


class Trim(NamedTuple):
    """Waiting entries that must be dropped.

    Attributes:
        old: Entries that have waited too long.
        surplus: Entries above the limit of bytes.
    """

    old: list[Row]
    surplus: list[Row]


def choose_to_drop(database: sqlite3.Connection, too_old: float, excess: int, when_full: WhenFull) -> Trim:
    """Return the waiting entries that must be dropped: those that are too old, then surplus verdicts, then defects.

    Args:
        database: Connection to the outbox's file.
        too_old: Entries created before this time of the outbox's own clock are dropped, in seconds.
        excess: Waiting bytes above the limit; may be negative.
        when_full: Whether the oldest or the newest entries of a kind are dropped first.
    """
    query = "SELECT id, created, size FROM entries WHERE sent = 0 AND kind = ? ORDER BY id"
    old: dict[int, Row] = {}
    surplus: list[Row] = []
    for kind in KINDS:
        for number, created, size in database.execute(query, (kind,)):
            if created >= too_old:
                break
            old[number] = (number, kind, size)
            excess -= size
    for kind in KINDS:
        if excess <= 0:
            break
        order = "" if when_full == "drop_oldest" else " DESC"
        for number, _, size in database.execute(query + order, (kind,)):
            if excess <= 0:
                break
            if number not in old:
                surplus.append((number, kind, size))
                excess -= size
    return Trim(list(old.values()), surplus)


def choose_old_history(database: sqlite3.Connection, excess: int, at_least: int) -> tuple[list[int], int]:
    """Return the ids of the oldest acknowledged entries, and their bytes: at least `excess` and at least `at_least`."""
    query = "SELECT id, size FROM entries INDEXED BY entries_sent WHERE sent = 1 ORDER BY id"
    chosen, freed = [], 0
    for number, size in database.execute(query):
        if freed >= excess and freed >= at_least:
            break
        freed += size
        chosen.append(number)
    return chosen, freed
