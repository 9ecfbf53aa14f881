"""Whether the archive has every part, shown by the sequence numbers of each station."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from edge_inspect.edge.archive.span import Span
from edge_inspect.edge.archive.tables import defects, stations, verdicts

_MOST_SHOWN = 10


class StationCompleteness(NamedTuple):
    """What is there of one station, and what is missing.

    Attributes:
        station: site/line/station.
        parts: Number of its parts.
        first: Lowest sequence number; 0 if there is no part.
        last: Highest sequence number.
        gaps: Missing sequence numbers, as intervals (first, last).
        restarts: Number of times that the count began again, because the station got a new outbox.
        without_defect: Number of rejected parts whose message `defect` is missing.
    """

    station: str
    parts: int
    first: int
    last: int
    gaps: list[tuple[int, int]]
    restarts: int
    without_defect: int

    @property
    def missing(self) -> int:
        """Number of missing parts."""
        return sum(last - first + 1 for first, last in self.gaps)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not self.gaps and not self.without_defect

    def lines(self) -> Iterator[str]:
        """Yield the lines that say this to a person."""
        said = f"{self.station}  parts {self.first} to {self.last}: {self.parts} verdicts, {self.missing} missing"
        if self.without_defect:
            said += f", {self.without_defect} rejected parts without their defect"
        yield said + (f"; its count began again {self.restarts} time(s)" if self.restarts else "")
        for first, last in self.gaps[:_MOST_SHOWN]:
            yield f"    missing #{first} to #{last}"
        if len(self.gaps) > _MOST_SHOWN:
            yield f"    and {len(self.gaps) - _MOST_SHOWN} more gaps; --json lists all of them"

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {**self._asdict(), "missing": self.missing, "complete": self.complete}


def check(connection: Connection, span: Span) -> list[StationCompleteness]:
    """Return what is there and what is missing of every station.

    The ids of a station's parts rise with its sequence numbers. So in the order of the ids, a number that is not the
    next one is a gap, and a number that is not higher is the first of a new outbox.

    Args:
        connection: Connection to the database.
        span: Stations, and the time in which the parts were decided.
    """
    before = func.lag(verdicts.c.sequence).over(partition_by=verdicts.c.station_id, order_by=verdicts.c.id)
    numbered = (
        select(verdicts.c.station_id, verdicts.c.id, verdicts.c.sequence, before.label("before"))
        .join(stations, stations.c.id == verdicts.c.station_id)
        .where(span.where(verdicts.c.decided_at))
        .subquery()
    )
    steps = connection.execute(
        select(numbered.c.station_id, numbered.c.before, numbered.c.sequence)
        .where(numbered.c.sequence != numbered.c.before + 1)
        .order_by(numbered.c.id)
    ).all()
    figures = _figures(connection, span)
    bare = _without_defect(connection, span)
    found = []
    for row in connection.execute(select(stations).order_by(stations.c.site, stations.c.line, stations.c.station)):
        if row.id not in figures and (span.since is not None or not _is_meant(span, row)):
            continue
        parts, first, last = figures.get(row.id, (0, 0, 0))
        own = [(step.before, step.sequence) for step in steps if step.station_id == row.id]
        gaps = [(was + 1, number - 1) for was, number in own if number > was]
        gaps += [(1, number - 1) for was, number in own if 1 < number <= was]
        if span.until is None and row.announced > row.newest and parts:
            gaps.append((row.newest + 1, row.announced))
        restarts = sum(number <= was for was, number in own)
        key = f"{row.site}/{row.line}/{row.station}"
        found.append(StationCompleteness(key, parts, first, last, gaps, restarts, bare.get(row.id, 0)))
    return found


def _is_meant(span: Span, row: Any) -> bool:
    levels = (row.site, row.line, row.station)
    wanted = span.station.split("/") if span.station is not None else ["+"] * 3
    return all(name in ("+", level) for name, level in zip(wanted, levels, strict=True))


def _figures(connection: Connection, span: Span) -> dict[int, tuple[int, int, int]]:
    """Return the number of parts of each station, and its lowest and highest sequence number."""
    numbers = verdicts.c.sequence
    rows = connection.execute(
        select(verdicts.c.station_id, func.count(), func.min(numbers), func.max(numbers))
        .join(stations, stations.c.id == verdicts.c.station_id)
        .where(span.where(verdicts.c.decided_at))
        .group_by(verdicts.c.station_id)
    )
    return {station: (parts, first, last) for station, parts, first, last in rows}


def _without_defect(connection: Connection, span: Span) -> dict[int, int]:
    """Return the number of rejected parts without a defect, by station."""
    rows = connection.execute(
        select(verdicts.c.station_id, func.count().label("parts"))
        .join(stations, stations.c.id == verdicts.c.station_id)
        .outerjoin(defects, defects.c.id == verdicts.c.id)
        .where(span.where(verdicts.c.decided_at), ~verdicts.c.ok, defects.c.id.is_(None))
        .group_by(verdicts.c.station_id)
    )
    return {row.station_id: row.parts for row in rows}
