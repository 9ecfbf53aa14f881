"""The history of parts in a SQLite file: bounded, each part once, read by time or by id."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from edge_inspect.edge.opcua.received_messages import ReceivedPart
from edge_inspect.edge.opcua.settings import HistorySettings
from edge_inspect.edge.page.cache_file import open_cache
from edge_inspect.edge.sqlite_file import transaction

_SCHEMA = """
CREATE TABLE parts (
    station TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, part TEXT NOT NULL, PRIMARY KEY (station, id)
) WITHOUT ROWID;
CREATE INDEX parts_by_time ON parts (station, at, id);
"""
_DAY_US = 86_400_000_000


class HistoryPage(NamedTuple):
    """Parts of a station, and where the next ones begin.

    Attributes:
        parts: The parts.
        next_at: Time of the first part that did not fit; `None` if all fitted.
    """

    parts: list[ReceivedPart]
    next_at: datetime | None


class PartHistory:
    """Keeps the newest parts of every station. May be used from any thread; each method may take as long as the disk.

    A file that is damaged is made again, so it loses its parts.

    Args:
        path: The file.
        bounds: How many parts are kept, and for how long.

    Raises:
        ConfigurationError: The file cannot be written.
    """

    def __init__(self, path: Path, bounds: HistorySettings) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self._connection = open_cache(path, _SCHEMA)
        # Unlike a cache, a history cannot be made again.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        counted = self._connection.execute("SELECT station, COUNT(*) FROM parts GROUP BY station")
        self._counts: dict[str, int] = dict(counted.fetchall())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def add(self, station: str, parts: Iterable[ReceivedPart]) -> list[ReceivedPart]:
        """Add parts, delete those beyond the bounds, and return the parts that were not there yet.

        A part that is older than the bound of days is none of these. One that is there without its regions gets them.

        Args:
            station: Key of the station.
            parts: Its parts.
        """
        oldest = time.time_ns() // 1000 - round(self._bounds.days * _DAY_US)
        with self._lock, transaction(self._connection):
            new = [part for part in parts if _microseconds(part.decided_at) >= oldest and self._insert(station, part)]
            count = self._counts.get(station, 0) + len(new)
            too_old = "DELETE FROM parts WHERE station = ? AND at < ?"
            gone = self._connection.execute(too_old, (station, oldest)).rowcount
            if (surplus := count - gone - self._bounds.parts) > 0:
                gone += self._connection.execute(
                    "DELETE FROM parts WHERE station = ? AND id IN "
                    "(SELECT id FROM parts WHERE station = ? ORDER BY at, id LIMIT ?)",
                    (station, station, surplus),
                ).rowcount
            self._counts[station] = count - gone
        return new

    def _insert(self, station: str, part: ReceivedPart) -> bool:
        text = part.model_dump_json()
        row = (station, part.id, _microseconds(part.decided_at), text)
        is_new = self._connection.execute("INSERT OR IGNORE INTO parts VALUES (?, ?, ?, ?)", row).rowcount > 0
        if not is_new and part.regions is not None:
            self._connection.execute(
                "UPDATE parts SET part = ? WHERE station = ? AND id = ? AND json_extract(part, '$.regions') IS NULL",
                (text, station, part.id),
            )
        return is_new

    def read(
        self, station: str, first: datetime | None, last: datetime | None, most: int, *, backwards: bool = False
    ) -> HistoryPage:
        """Return parts by the time of their decision.

        Args:
            station: Key of the station.
            first: Time from which parts are returned, inclusive; `None`: the oldest.
            last: Time up to which parts are returned, inclusive; `None`: the newest.
            most: Largest number of parts.
            backwards: Whether the newest part comes first.
        """
        order = "DESC" if backwards else "ASC"
        low = 0 if first is None else _microseconds(first)
        high = 2**63 - 1 if last is None else _microseconds(last)
        with self._lock:
            rows = self._connection.execute(
                "SELECT at, part FROM parts WHERE station = ? AND at BETWEEN ? AND ? "
                f"ORDER BY at {order}, id {order} LIMIT ?",
                (station, low, high, most + 1),
            ).fetchall()
        parts = [ReceivedPart.model_validate_json(text) for _, text in rows[:most]]
        return HistoryPage(parts, _moment(rows[most][0]) if len(rows) > most else None)

    def part(self, station: str, identity: str) -> ReceivedPart | None:
        """Return the part with an id; `None` if it is not kept."""
        query = "SELECT part FROM parts WHERE station = ? AND id = ?"
        with self._lock:
            row = self._connection.execute(query, (station, identity)).fetchone()
        return ReceivedPart.model_validate_json(row[0]) if row else None

    def find(self, station: str, part_id: str, recipe: str, identity: str, first: int, most: int) -> list[ReceivedPart]:
        """Return parts, newest first.

        Args:
            station: Key of the station.
            part_id: Id that came with the part's trigger; empty: any.
            recipe: Recipe or bundle by which the part was judged; empty: any.
            identity: Id of the part's verdict; empty: any.
            first: Number of parts to leave out.
            most: Largest number of parts.
        """
        conditions = {
            "json_extract(part, '$.part_id') = ?": part_id,
            "coalesce(json_extract(part, '$.recipe'), json_extract(part, '$.bundle.name')) = ?": recipe,
            "id = ?": identity,
        }
        wanted = {condition: value for condition, value in conditions.items() if value}
        where = " AND ".join(["station = ?", *wanted])
        query = f"SELECT part FROM parts WHERE {where} ORDER BY at DESC, id DESC LIMIT ? OFFSET ?"
        with self._lock:
            rows = self._connection.execute(query, (station, *wanted.values(), most, first)).fetchall()
        return [ReceivedPart.model_validate_json(row[0]) for row in rows]

    def newest(self, station: str) -> ReceivedPart | None:
        """Return the newest part of a station; `None` if none is kept."""
        found = self.read(station, None, None, 1, backwards=True).parts
        return found[0] if found else None


def _microseconds(moment: datetime) -> int:
    whole = moment.replace(microsecond=0)
    return round(whole.timestamp()) * 1_000_000 + moment.microsecond


def _moment(microseconds: int) -> datetime:
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, timezone.utc).replace(microsecond=rest)
