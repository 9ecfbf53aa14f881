"""A queue of outbox entries in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from edge_inspect.edge.outbox import KINDS, Entry, Kind, WhenFull


class EntryQueue:
    """Entries in memory, in order. Not thread-safe: its user locks."""

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
        """Remove entries, and return those that were in the queue."""
        found = [self._all.pop(number) for number in ids if number in self._all]
        for entry in found:
            del self._by_kind[entry.kind][entry.id]
            del self._by_station[entry.station][entry.id]
            self.bytes -= entry.size
        return found

    def pending(self, station: str, after: int, limit: int) -> list[Entry]:
        """Return the oldest entries of a station with an id above `after`, at most `limit` of them."""
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

    def drop_old(self, too_old: float) -> list[Entry]:
        """Drop the entries that were created before a time, and return them."""
        dropped: list[Entry] = []
        for queue in self._by_kind.values():
            while queue and (oldest := next(iter(queue.values()))).created < too_old:
                dropped += self.remove([oldest.id])
        return dropped

    def drop_surplus(self, max_bytes: int, when_full: WhenFull) -> list[Entry]:
        """Drop entries until `max_bytes` is kept, verdicts before defects, and return them."""
        dropped: list[Entry] = []
        for queue in self._by_kind.values():
            while queue and self.bytes > max_bytes:
                dropped += self.remove([next(iter(queue) if when_full == "drop_oldest" else reversed(queue))])
        return dropped
