"""The archive's database, PostgreSQL or SQLite: how it is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError

from edge_inspect.edge.archive.database_problems import explained
from edge_inspect.edge.archive.settings import ArchiveSettings
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.mqtt.credentials import read_password

# A server that is gone without a word is noticed after 10 s, and not when the system's TCP gives up.
_LIBPQ = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "edge-inspect archive",
}


def open_database(settings: ArchiveSettings) -> Engine:
    """Return the engine of the configured database. Nothing is connected yet.

    Raises:
        ConfigurationError: The file with the password cannot be read.
        UsageError: The folder of the SQLite file is missing, or the URL cannot be used.
    """
    url = _url(settings)
    if url.get_backend_name() == "sqlite":
        return _open_sqlite(url)
    if settings.password_file is not None:
        url = url.set(password=read_password(settings.password_file, "password_file"))
    # One connection writes; the reports of the commands use one each.
    chosen = {name: value for name, value in _LIBPQ.items() if name not in url.query}
    engine = create_engine(url, connect_args=chosen, pool_size=2, max_overflow=2, pool_pre_ping=True)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        # Whoever locks a table for longer must not stop the archive without a word.
        connection.execute("SET lock_timeout = '30s'")
        connection.commit()

    return engine


def place_of(settings: ArchiveSettings) -> str:
    """Return the database's place for messages, without a password."""
    return _url(settings).render_as_string(hide_password=True).replace("postgresql+psycopg", "postgresql")


@contextmanager
def reading(engine: Engine, place: str, config: Path | None = None) -> Iterator[Connection]:
    """Open a connection for a command that reads.

    Args:
        engine: Engine of the database.
        place: The database's place, for messages.
        config: The configuration file that names it, for messages.

    Raises:
        UsageError: The database cannot be reached or read.
    """
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        file = f"{config}: " if config is not None else ""
        raise UsageError(f"{file}database {place}: {explained(error)}") from error


@contextmanager
def writing(engine: Engine, place: str, config: Path | None = None) -> Iterator[Connection]:
    """Open a connection in a transaction that is committed at the end. Arguments and errors are those of `reading`."""
    with reading(engine.execution_options(writes=True), place, config) as connection, connection.begin():
        yield connection


def _url(settings: ArchiveSettings) -> URL:
    url = make_url(settings.database)
    return url if url.get_backend_name() == "sqlite" else url.set(drivername="postgresql+psycopg")


def _open_sqlite(url: URL) -> Engine:
    folder = Path(url.database or "").parent
    if not folder.is_dir():
        raise UsageError(f"database {url.database}: the folder {folder} is missing; create it, or name another file")
    engine = create_engine(url, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        # Python's sqlite3 would begin transactions by its own rules, and none for changes of tables.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        # What is acknowledged to the broker must survive a power cut.
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
