"""The file that keeps the joiner's work over restarts: a SQLite file that one process uses.

Each step of the work is one transaction, which is on the disk when `write` returns. Only then is a decision handed to
the outbox and a message acknowledged to the broker.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edge_inspect.edge import sqlite_file
from edge_inspect.edge.bridge.reorder_buffer import SequencePosition
from edge_inspect.edge.errors import OutboxError
from edge_inspect.edge.views.joiner import JoinerState
from edge_inspect.edge.views.part import Part

log = logging.getLogger(__name__)

KEPT_DECISIONS = 2000
"""Number of decisions that are kept, to give them to the outbox again if a power cut took them from it."""
_APPLICATION_ID = 0x45494A56
_FORMAT = 1
_SCHEMA = f"""
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE positions (view TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE received (
    arrival INTEGER PRIMARY KEY, view TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, payload BLOB NOT NULL,
    UNIQUE (view, id, kind));
CREATE TABLE parts (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE decisions (sequence INTEGER PRIMARY KEY, verdict BLOB NOT NULL, defect BLOB);
CREATE TABLE state (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


class ReceivedMessage(NamedTuple):
    """A message of a view that waits for others: prefix of the view's topics, id of the verdict, kind, content."""

    view: str
    id: str
    kind: str
    payload: bytes


class Decision(NamedTuple):
    """A joint verdict with its sequence number, and its defect if the part is rejected, as JSON."""

    sequence: int
    verdict: bytes
    defect: bytes | None


@dataclass
class Step:
    """The changes of one step of the work.

    Attributes:
        positions: New positions of the views, by the prefix of their topics.
        received: Messages that have come and wait, or with payload `None` have ended to wait; by the prefix of the
            view's topics, the id of the verdict, and the kind.
        parts: Parts that have changed, by number; `None`: finished.
        decisions: New decisions.
        state: State of the joiner.
    """

    positions: dict[str, SequencePosition] = field(default_factory=dict)
    received: dict[tuple[str, str, str], bytes | None] = field(default_factory=dict)
    parts: dict[int, Part | None] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    state: JoinerState | None = None


class Stored(NamedTuple):
    """The content of the file."""

    positions: dict[str, SequencePosition]
    received: list[ReceivedMessage]
    parts: list[Part]
    decisions: list[Decision]
    state: JoinerState


class ViewStore:
    """The file of the joiner. Used by one thread.

    A damaged file is renamed, and the joiner then begins with the next verdicts of its views.

    Args:
        path: Path of the file; it is created if it is missing.

    Raises:
        OutboxError: The file cannot be used, or another process uses it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            lock = sqlite_file.lock(path)
        except sqlite_file.InUse as owner:
            raise OutboxError(
                f"{path}: {owner} uses it; stop that process, or give each joiner its own outbox.path"
            ) from owner
        except OSError as error:
            raise OutboxError(
                f"{path}: {error.strerror}; let this user write to {path.parent}, or change outbox.path"
            ) from error
        with ExitStack() as opened:
            opened.callback(os.close, lock)
            try:
                self._database = _open(path)
                opened.callback(self._database.close)
                self.stored = self._load()
            except (sqlite3.Error, ValueError) as error:
                raise OutboxError(f"{path}: {error}; check the disk, its free space and its rights") from error
            self._resources = opened.pop_all()

    def __enter__(self) -> ViewStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self._resources.close()

    def write(self, step: Step) -> None:
        """Write the changes of a step; they survive a power cut when this returns.

        Raises:
            OutboxError: The file cannot be written.
        """
        try:
            with sqlite_file.transaction(self._database):
                self._write(step)
        except sqlite3.Error as error:
            raise OutboxError(
                f"{self._path}: cannot be written: {error}; make room on its disk, or repair its rights. Verdicts of "
                "the views wait at the broker and at their stations meanwhile"
            ) from error

    def forget_decisions(self) -> None:
        """Delete all decisions, because the outbox was replaced and numbers its messages anew."""
        self._database.execute("DELETE FROM decisions")

    def _write(self, step: Step) -> None:
        run = self._database.executemany
        run(
            "INSERT OR REPLACE INTO positions VALUES (?, ?)",
            [(view, position.model_dump_json()) for view, position in step.positions.items()],
        )
        kept = [(*key, payload) for key, payload in step.received.items() if payload is not None]
        run("INSERT OR REPLACE INTO received (view, id, kind, payload) VALUES (?, ?, ?, ?)", kept)
        gone = [key for key, payload in step.received.items() if payload is None]
        run("DELETE FROM received WHERE view = ? AND id = ? AND kind = ?", gone)
        run(
            "INSERT OR REPLACE INTO parts VALUES (?, ?)",
            [(number, part.model_dump_json()) for number, part in step.parts.items() if part is not None],
        )
        run("DELETE FROM parts WHERE number = ?", [(number,) for number, part in step.parts.items() if part is None])
        run("INSERT INTO decisions VALUES (?, ?, ?)", step.decisions)
        if step.decisions:
            run("DELETE FROM decisions WHERE sequence <= ?", [(step.decisions[-1].sequence - KEPT_DECISIONS,)])
        if step.state is not None:
            body = step.state.model_dump_json()
            self._database.execute("INSERT OR REPLACE INTO state VALUES ('joiner', ?)", (body,))

    def _load(self) -> Stored:
        read = self._database.execute
        state = read("SELECT body FROM state").fetchone()
        return Stored(
            {view: SequencePosition.model_validate_json(body) for view, body in read("SELECT * FROM positions")},
            [ReceivedMessage(*row) for row in read("SELECT view, id, kind, payload FROM received ORDER BY arrival")],
            [Part.model_validate_json(body) for (body,) in read("SELECT body FROM parts ORDER BY number")],
            [Decision(*row) for row in read("SELECT * FROM decisions ORDER BY sequence")],
            JoinerState() if state is None else JoinerState.model_validate_json(state[0]),
        )


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _verified(path)
    except sqlite3.DatabaseError as error:
        if not sqlite_file.is_damage(error):
            raise
        aside = sqlite_file.set_aside(path)
        log.error(
            "%s: the file is damaged (%s) and was renamed to %s; parts whose views had come only in part are lost, and "
            "the views are followed from their next verdicts on",
            path,
            error,
            aside,
        )
        return _verified(path)


def _verified(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application == 0 and sqlite_file.is_empty(connection):
            connection.executescript(_SCHEMA)
        elif application != _APPLICATION_ID:
            raise OutboxError(f"{path}: this is the SQLite file of another program; change outbox.path")
        elif (version := connection.execute("PRAGMA user_version").fetchone()[0]) != _FORMAT:
            raise OutboxError(
                f"{path}: format {version}, this version knows {_FORMAT}; use the version that made it, or delete it"
            )
        else:
            sqlite_file.check(connection, _SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection
