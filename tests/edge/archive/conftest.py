"""Databases of the archive's tests: SQLite in a file, and a real PostgreSQL where the machine has one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from archive_parts import opened, settings
from bridge_parts import Line
from mosquitto import Broker
from postgresql import PostgreSQL
from sqlalchemy import Engine

from edge_inspect.edge.archive.database import open_database
from edge_inspect.edge.outbox.sqlite import SqliteOutbox

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    """A PostgreSQL that all tests of this process share, each with a database of its own."""
    made = PostgreSQL("fsync = off")
    made.start()
    yield made
    made.remove()


@pytest.fixture
def postgresql(server: PostgreSQL) -> str:
    """The URL of an empty database in PostgreSQL."""
    return server.create(f"test_{os.getpid()}_{next(_NUMBERS)}")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgresql")
        return url
    return f"sqlite:///{tmp_path}/archive.db"


@pytest.fixture
def engine(database: str, tmp_path: Path) -> Iterator[Engine]:
    """A database of each kind with the tables in it."""
    made = opened(database, tmp_path)
    yield made
    made.dispose()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running broker."""
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def line(tmp_path: Path, broker: Broker) -> Iterator[Line]:
    """A station with a real outbox and a real connection, whose every tenth part is rejected."""
    outbox = SqliteOutbox(tmp_path / "outbox.db")
    made = Line(broker.port, outbox, window=64)
    yield made
    made.publisher.close()
    outbox.close()


@pytest.fixture
def reader(database: str, tmp_path: Path) -> Iterator[Engine]:
    """A connection of the tests to the same database."""
    made = open_database(settings(database, tmp_path))
    yield made
    made.dispose()
