"""Writes messages into the database: each batch is one transaction, and its rows are there exactly once."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Table, select, update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from edge_inspect.edge.archive.counts import add_counts
from edge_inspect.edge.archive.database_problems import explained, said
from edge_inspect.edge.archive.followed_station import SavedFollowing
from edge_inspect.edge.archive.insertion import Values, insert_for, insert_new
from edge_inspect.edge.archive.message_rows import BundleKey, Row
from edge_inspect.edge.archive.months import Month, create_partitions, months_of
from edge_inspect.edge.archive.tables import METADATA, PARTITIONED, bundles, stations
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

# Classes of SQLSTATE that tell of the values of a row, not of the database: another try would fail in the same way.
_OF_VALUES = ("22", "23", "54")
StationState = Callable[[str], Values]
"""Returns the values of a station's row that change, by its key."""


class StoredMessage(NamedTuple):
    """What is stored of one message.

    Attributes:
        station: Key of the station: site/line/station.
        rows: Rows that it becomes; it may be none.
    """

    station: str
    rows: Sequence[Row]


class DatabaseLost(Exception):
    """The database cannot be reached, or has not taken a batch; the same batch can be written later."""


class Writer:
    """Writes batches. Not thread-safe.

    Args:
        engine: Engine of the database, whose tables are there.

    Attributes:
        inserted: Number of rows that were inserted, by table.
        repeated: Number of rows that were there already.
        skipped: Number of messages that could not be stored.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(writes=True)
        self._stations: dict[str, int] = {}
        self._bundles: dict[BundleKey, int] = {}
        self._months: set[Month] = set()
        self.inserted: Counter[str] = Counter()
        self.repeated = 0
        self.skipped = 0

    def saved(self, station: str) -> SavedFollowing:
        """Return what was kept of a station.

        Raises:
            DatabaseLost: The database cannot be reached.
        """
        with self._transaction() as connection:
            query = select(stations.c.followed).where(stations.c.id == self._station(connection, station))
            kept = connection.execute(query).scalar_one()
        return SavedFollowing.model_validate(kept) if kept is not None else SavedFollowing()

    def known_stations(self) -> list[str]:
        """Return the keys of all stations in the database.

        Raises:
            DatabaseLost: The database cannot be reached.
        """
        with self._transaction() as connection:
            query = select(stations.c.site, stations.c.line, stations.c.station)
            return ["/".join(row) for row in connection.execute(query)]

    def write(self, batch: Sequence[StoredMessage], state: StationState) -> None:
        """Write a batch. A message whose values the database refuses is logged and left out.

        Args:
            batch: The messages, in the order in which they came.
            state: Returns what is kept of a station; called for every station of the batch.

        Raises:
            DatabaseLost: Nothing was written.
        """
        try:
            self._write(batch, state)
        except (StatementError, ValueError, OverflowError) as error:
            if len(batch) == 1:
                self.skipped += 1
                log.error("%s: a message is not stored: %s", clean(batch[0].station), said(error))
                return
            for message in batch:
                self.write([message], state)

    def _write(self, batch: Sequence[StoredMessage], state: StationState) -> None:
        inserted: Counter[str] = Counter()
        repeated = 0
        with self._transaction() as connection:
            by_table = self._numbered(connection, batch)
            if connection.dialect.name == "postgresql":
                self._partition(connection, by_table)
            for name, rows in by_table.items():
                new = insert_new(connection, METADATA.tables[name], rows)
                inserted[name] += len(new)
                repeated += len(rows) - len(new)
                if name == "verdicts":
                    add_counts(connection, new)
            for key in sorted({message.station for message in batch}):
                number = self._station(connection, key)
                connection.execute(update(stations).where(stations.c.id == number).values(_storable(state(key))))
        self.inserted += inserted
        self.repeated += repeated

    def _numbered(self, connection: Connection, batch: Iterable[StoredMessage]) -> dict[str, list[Values]]:
        """Return the rows by table, with the numbers of their stations and bundles."""
        by_table: dict[str, list[Values]] = defaultdict(list)
        for message in batch:
            for row in message.rows:
                values = _storable(row.values)
                if "station_id" in METADATA.tables[row.table].c:
                    values["station_id"] = self._station(connection, message.station)
                if row.bundle is not None:
                    values["bundle_id"] = self._bundle(connection, row.bundle)
                by_table[row.table].append(values)
        return by_table

    def _partition(self, connection: Connection, by_table: dict[str, list[Values]]) -> None:
        months = months_of(row["id"] for name in PARTITIONED for row in by_table.get(name, ()))
        if months - self._months:
            create_partitions(connection, months - self._months)
            self._months |= months

    def _station(self, connection: Connection, key: str) -> int:
        if key not in self._stations:
            names = dict(zip(("site", "line", "station"), key.split("/"), strict=True))
            self._stations[key] = _number(connection, stations, names)
        return self._stations[key]

    def _bundle(self, connection: Connection, key: BundleKey) -> int:
        if key not in self._bundles:
            names = _storable({"name": key[0], "digest": key[1]})
            self._bundles[key] = _number(connection, bundles, names)
        return self._bundles[key]

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Open a transaction.

        Raises:
            DatabaseLost: It could not be committed, for a reason that does not lie in the rows.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except BaseException as error:
            # Numbers and partitions of a transaction that was not committed are not there.
            self._stations, self._bundles, self._months = {}, {}, set()
            if isinstance(error, DBAPIError) and not _is_of_values(error):
                raise DatabaseLost(explained(error)) from error
            raise


def _is_of_values(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None) or ""
    return isinstance(error, DataError | IntegrityError) or state[:2] in _OF_VALUES


def _number(connection: Connection, table: Table, names: Values) -> int:
    """Return the number of a station or bundle, which gets one when it is first seen."""
    found = select(table.c.id).filter_by(**names)
    number = connection.execute(found).scalar()
    if number is None:
        connection.execute(insert_for(connection, table).values(names).on_conflict_do_nothing())
        number = connection.execute(found).scalar_one()
    return int(number)


def _storable(value: Any) -> Any:
    """Return a copy of values without the character NUL, which PostgreSQL cannot store; others read it as a space."""
    if isinstance(value, str):
        return value.replace("\0", " ") if "\0" in value else value
    if isinstance(value, dict):
        return {_storable(name): _storable(each) for name, each in value.items()}
    return [_storable(each) for each in value] if isinstance(value, list) else value
