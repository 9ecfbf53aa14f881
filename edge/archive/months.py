"""The months of the archive's parts: partitions in PostgreSQL, and what is deleted when it has become too old."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Engine, and_, delete, select, text

from edge_inspect.edge.archive.tables import METADATA, PARTITIONED, verdicts
from edge_inspect.edge.contract.ids import uuid7_time

# Ids from before or after these years come from a clock that was never set. PostgreSQL has one partition for all of
# them, and months must never change between the two.
_FIRST_YEAR, _LAST_YEAR = 2020, 2099
# 2100-01-01 in days since 1970; Python's datetime does not reach the end of the times that an id can have.
_LAST_DAY = 47_482
ROWS_AT_ONCE = 10_000
"""Rows that one transaction deletes from SQLite."""


class Month(NamedTuple):
    """A month in UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, moment: datetime) -> Month:
        """Return the month of an aware time."""
        utc = moment.astimezone(timezone.utc)
        return cls(utc.year, utc.month)

    @property
    def next(self) -> Month:
        """The month after this one."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def first_id(self) -> str:
        """The lowest id with a time in this month, for comparisons: its other bits are 0."""
        begin = datetime(self.year, self.month, 1, tzinfo=timezone.utc)
        digits = f"{round(begin.timestamp() * 1000):012x}"
        return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"

    @property
    def suffix(self) -> str:
        """The end of the names of its partitions."""
        return f"{self.year:04}_{self.month:02}"


_FIRST = Month(_FIRST_YEAR, 1)


def is_before(identity: str, oldest: Month) -> bool:
    """Return whether an id is from a month before `oldest`; one of an impossible time is not."""
    return _FIRST.first_id <= identity < oldest.first_id


def is_old(identity: Column[str], oldest: Month) -> ColumnElement[bool]:
    """Return the condition of `is_before` for a query.

    Args:
        identity: Column with the id.
        oldest: First month that is not before.
    """
    return and_(identity >= _FIRST.first_id, identity < oldest.first_id)


def months_of(ids: Iterable[str]) -> set[Month]:
    """Return the months that have partitions of their own, of the times in these ids (UUIDv7)."""
    days = {int(uuid7_time(identity)) // 86_400 for identity in ids}
    found = {Month.of(datetime.fromtimestamp(day * 86_400, timezone.utc)) for day in days if day < _LAST_DAY}
    return {month for month in found if _FIRST_YEAR <= month.year <= _LAST_YEAR}


def create_partitions(connection: Connection, months: Iterable[Month]) -> None:
    """Create the partitions of these months where they are missing."""
    for month in sorted(months):
        for table in PARTITIONED:
            connection.execute(
                text(
                    f"CREATE TABLE IF NOT EXISTS {table}_{month.suffix} PARTITION OF {table} "
                    f"FOR VALUES FROM ('{month.first_id}') TO ('{month.next.first_id}')"
                )
            )


def partitions(connection: Connection) -> list[Month]:
    """Return the months that have partitions in PostgreSQL, in order."""
    found = connection.execute(
        text(
            "SELECT substring(relname FROM '[0-9]{4}_[0-9]{2}$') FROM pg_class JOIN pg_inherits ON inhrelid = oid "
            "WHERE inhparent = 'verdicts'::regclass AND relname ~ '^verdicts_[0-9]{4}_[0-9]{2}$'"
        )
    ).scalars()
    return sorted(Month(*map(int, str(name).split("_"))) for name in found)


def delete_before(engine: Engine, oldest: Month) -> Iterator[str | None]:
    """Delete the parts of all months before `oldest`, one transaction at each step of the iterator.

    PostgreSQL drops whole partitions, which takes milliseconds and gives the space back at once. SQLite deletes rows,
    and uses their space again. Parts of impossible times stay. Counts, labels, changes, states and commands stay.

    Args:
        engine: Engine of the database.
        oldest: First month that is kept.

    Yields:
        What was deleted, for the log; `None` where more of it follows.
    """
    writing = engine.execution_options(writes=True)
    yield from (_drop_before if engine.dialect.name == "postgresql" else _delete_rows)(writing, oldest)


def _delete_rows(engine: Engine, oldest: Month) -> Iterator[str | None]:
    deleted = 0
    for parts in (METADATA.tables[name] for name in PARTITIONED):
        some = select(parts.c.id).where(is_old(parts.c.id, oldest)).limit(ROWS_AT_ONCE).scalar_subquery()
        rows = ROWS_AT_ONCE
        while rows:
            with engine.begin() as connection:
                rows = connection.execute(delete(parts).where(parts.c.id.in_(some))).rowcount
            deleted += rows if parts is verdicts else 0
            yield None
    if deleted:
        yield f"{deleted} parts from before {oldest.year:04}-{oldest.month:02}"


def _drop_before(engine: Engine, oldest: Month) -> Iterator[str | None]:
    with engine.begin() as connection:
        old = [month for month in partitions(connection) if month < oldest]
    for month in old:
        with engine.begin() as connection:
            for table in PARTITIONED:
                connection.execute(text(f"DROP TABLE IF EXISTS {table}_{month.suffix}"))
        yield f"the parts of {month.year:04}-{month.month:02}"
