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
    next one is a gap, and a number that is not higher is the first of a new outbox. When the missing parts were decided
    is not known: a gap belongs to the whole time between the parts beside it. A station without parts in the span is
    left out, unless it has a gap there or the span has no begin.

    Args:
        connection: Connection to the database.
        span: Stations, and the time in which the parts were decided.
    """
    figures = _figures(connection, span)
    bare = _without_defect(connection, span)
    found = []
    for row in connection.execute(select(stations).order_by(stations.c.site, stations.c.line, stations.c.station)):
        if not _is_meant(span, row):
            continue
        parts, first, last = figures.get(row.id, (0, 0, 0))
        steps = _steps(connection, row.id, span)
        gaps = [(was + 1, number - 1) for was, number in steps if number > was]
        gaps += [(1, number - 1) for was, number in steps if 1 < number <= was]
        if _is_short(connection, row, span):
            gaps.append((row.newest + 1, row.announced))
        if not parts and not gaps and span.since is not None:
            continue
        restarts = sum(number <= was for was, number in steps)
        key = f"{row.site}/{row.line}/{row.station}"
        found.append(StationCompleteness(key, parts, first, last, gaps, restarts, bare.get(row.id, 0)))
    return found


def _steps(connection: Connection, station: int, span: Span) -> list[tuple[int, int]]:
    """Return each pair of neighbouring parts whose numbers do not follow each other: the number before, the number.

    A gap at the edge of the span lies between a part in it and one outside, so the last part before the span and the
    first one after it are looked at too.
    """
    at, number = verdicts.c.decided_at, verdicts.c.sequence
    inner = [verdicts.c.station_id == station]
    outer = []
    if span.since is not None:
        last_before = select(func.max(at)).where(verdicts.c.station_id == station, at < span.since)
        inner.append(at >= (connection.execute(last_before).scalar() or span.since))
    if span.until is not None:
        first_after = select(func.min(at)).where(verdicts.c.station_id == station, at >= span.until)
        inner.append(at <= (connection.execute(first_after).scalar() or span.until))
    order = verdicts.c.id
    was, was_at = func.lag(number).over(order_by=order), func.lag(at).over(order_by=order)
    pairs = select(order, at, number, was.label("was"), was_at.label("was_at")).where(*inner).subquery().c
    if span.since is not None:
        outer.append(pairs.decided_at >= span.since)
    if span.until is not None:
        outer.append(pairs.was_at < span.until)
    steps = select(pairs.was, pairs.sequence).where(pairs.sequence != pairs.was + 1, *outer).order_by(pairs.id)
    return [(before, sequence) for before, sequence in connection.execute(steps)]


def _is_short(connection: Connection, row: Any, span: Span) -> bool:
    """Return whether a station has announced parts that have not come, and may have decided them in the span.

    It decided them after its newest part, and before it was heard last.
    """
    if not 0 < row.newest < row.announced:
        return False
    if span.since is not None and row.heard_at is not None and row.heard_at < span.since:
        return False
    newest = select(func.max(verdicts.c.decided_at)).where(verdicts.c.station_id == row.id)
    decided_at = connection.execute(newest).scalar()
    return span.until is None or decided_at is None or decided_at < span.until


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
