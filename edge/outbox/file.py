"""The outbox's file: locks it for one process, opens it, and renames it if it is damaged."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from edge_inspect.edge import sqlite_file
from edge_inspect.edge.errors import OutboxError
from edge_inspect.edge.outbox import Entry
from edge_inspect.edge.outbox.fault import ERRNO_REMEDIES
from edge_inspect.edge.sqlite_file import check, is_damage, is_empty, set_aside

log = logging.getLogger(__name__)

_APPLICATION_ID = 0x45494F42
_FORMAT = 2
# Conditions that every row must meet; SQLite checks none of them. Numbers are exact in JSON up to 2^53.
_ROWS_HOLD = {
    "entries": "typeof(station) = 'text' AND typeof(sequence) = 'integer' AND sequence BETWEEN 1 AND 9007199254740992 "
    "AND kind IN ('verdict', 'defect') AND typeof(topic) = 'text' AND typeof(payload) = 'blob' "
    "AND typeof(created) = 'real' AND created BETWEEN -1e11 AND 1e11 "
    "AND size = length(CAST(topic AS BLOB)) + length(payload) AND sent IN (0, 1)",
    "sequences": "typeof(station) = 'text' AND typeof(last) = 'integer' AND last BETWEEN 1 AND 9007199254740992",
    "dropped": "kind IN ('verdict', 'defect') AND typeof(count) = 'integer' AND count BETWEEN 0 AND 9007199254740992",
}
_SCHEMA = f"""
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, station TEXT NOT NULL, sequence INTEGER NOT NULL, kind TEXT NOT NULL, topic TEXT NOT NULL,
    payload BLOB NOT NULL, created REAL NOT NULL, size INTEGER NOT NULL, sent INTEGER NOT NULL);
CREATE INDEX entries_station ON entries (station, id) WHERE sent = 0;
CREATE INDEX entries_kind ON entries (kind, id, created, size) WHERE sent = 0;
CREATE INDEX entries_sent ON entries (id, station, sequence, size) WHERE sent = 1;
CREATE TABLE sequences (station TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE dropped (kind TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_FORMAT};
COMMIT;
"""
# Longest waits for another program that holds the file: at the opening, and later, when a part waits only once.
_OPENING_WAIT_S, _WAIT_MS = 5.0, 200
# The column `topic` contains the entry's address. It keeps its old name so that files of earlier versions can be read.
ENTRY_COLUMNS = "id, station, sequence, kind, topic, payload, created"


def lock(path: Path) -> int:
    """Lock the outbox for this process until the returned file descriptor is closed.

    Raises:
        OutboxError: The folder is missing or cannot be written to, or another process holds the lock.
    """
    if not path.parent.is_dir():
        raise OutboxError(
            f"outbox {path}: there is no folder {path.parent}; make it, or set outbox.path to another file"
        )
    try:
        return sqlite_file.lock(path)
    except sqlite_file.InUse as owner:
        raise OutboxError(
            f"outbox {path}: {owner} uses it; stop that process, or give each service its own outbox.path"
        ) from owner
    except OSError as problem:
        rights = f"let this user write to {path.parent}, or change outbox.path"
        remedy = ERRNO_REMEDIES.get(problem.errno or 0, rights)
        raise OutboxError(f"outbox {path}: {problem.strerror}; {remedy}") from problem


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection in autocommit mode that leaves locking between threads to its user."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_OPENING_WAIT_S)
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        # A checkpoint flushes the disk, and no put may wait for that. So edge/outbox/keeper.py makes the checkpoints.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        connection.close()
        raise
    return connection


def set_patience(connection: sqlite3.Connection, *, waits: bool) -> None:
    """Set whether a connection waits 200 ms for another program that holds the file, or not at all."""
    connection.execute(f"PRAGMA busy_timeout = {_WAIT_MS if waits else 0}")


def open_file(path: Path) -> tuple[sqlite3.Connection, Path | None]:
    """Open or create the file. A damaged file is renamed, and a new one is created.

    Returns:
        The connection, and the new path of the damaged file; `None` if it was not damaged.

    Raises:
        OutboxError: The file belongs to another program or another version.
        sqlite3.Error: The file cannot be opened.
    """
    try:
        return _verified(path), None
    except (sqlite3.DatabaseError, UnicodeDecodeError) as damage:
        if not is_damage(damage):
            raise
        aside = set_aside(path)
        log.error(
            "outbox %s: the file is damaged (%s); it was renamed to %s and a new one was created", path, damage, aside
        )
        return _verified(path), aside


def read_damaged(path: Path, damaged: Path) -> tuple[list[Entry], dict[str, int]]:
    """Return the entries and numbers that can still be read from a damaged outbox, and log how many they are.

    Args:
        path: Path of the outbox, for the log.
        damaged: Present path of the damaged file.

    Returns:
        The waiting entries, in order, and each station's last sequence number.
    """
    entries: list[Entry] = []
    sequences: dict[str, int] = {}
    unreadable = (sqlite3.Error, UnicodeDecodeError)
    with suppress(*unreadable), closing(sqlite3.connect(f"file:{damaged}?mode=ro", uri=True)) as connection:
        with suppress(*unreadable):
            sequences.update(
                connection.execute(f"SELECT station, last FROM sequences WHERE {_ROWS_HOLD['sequences']}").fetchall()
            )
        with suppress(*unreadable):
            query = f"SELECT {ENTRY_COLUMNS}, sent FROM entries WHERE {_ROWS_HOLD['entries']} ORDER BY id"
            for *columns, sent in connection.execute(query):
                entry = Entry._make(columns)
                # A payload is a JSON object. A truncated one is useless to subscribers, so it is dropped.
                if entry.payload[:1] == b"{" and entry.payload[-1:] == b"}":
                    sequences[entry.station] = max(entry.sequence, sequences.get(entry.station, 0))
                    if not sent:
                        entries.append(entry._replace(id=len(entries) + 1))
    if sequences:
        log.warning(
            "outbox %s: %d messages and the numbers of %d stations were read from %s",
            path,
            len(entries),
            len(sequences),
            damaged,
        )
    else:
        log.error("outbox %s: nothing could be read from %s; sequence numbers restart at 1", path, damaged)
    return entries, sequences


def _verified(path: Path) -> sqlite3.Connection:
    connection = connect(path)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if is_empty(connection) and application == 0:
            connection.executescript(_SCHEMA)
        elif application != _APPLICATION_ID:
            raise OutboxError(
                f"outbox {path}: this is the SQLite file of another program; set outbox.path to another file"
            )
        elif version != _FORMAT:
            raise OutboxError(
                f"outbox {path}: format {version}, this version knows {_FORMAT}; "
                "drain it with the version that made it, then delete it"
            )
        else:
            _check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError, as SQLite itself does, for every damage that would show later in a put."""
    check(connection, _SCHEMA)
    for table, holds in _ROWS_HOLD.items():
        if connection.execute(f"SELECT 1 FROM {table} WHERE NOT ({holds}) LIMIT 1").fetchone():
            raise sqlite3.DatabaseError(f"a row of the table {table} contains impossible values")
