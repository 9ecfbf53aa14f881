"""What tests of the archive share: its settings, rows in a database, and the archive as a process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from bridge_parts import Line, defect, verdict
from mosquitto import wait_until
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import SQLAlchemyError

from edge_inspect.edge.archive.database import open_database
from edge_inspect.edge.archive.followed_station import FollowedStation
from edge_inspect.edge.archive.message_rows import rows_of
from edge_inspect.edge.archive.migrations import migrate
from edge_inspect.edge.archive.received_messages import MODELS, ArchivedPart
from edge_inspect.edge.archive.settings import ArchiveSettings
from edge_inspect.edge.archive.tables import METADATA
from edge_inspect.edge.archive.writer import StoredMessage, Writer
from edge_inspect.edge.cli import main
from edge_inspect.edge.contract.ids import format_uuid7
from edge_inspect.edge.contract.messages import Payload, Verdict
from edge_inspect.edge.contract.topics import Topics

PATIENCE_S = 180.0
STATION = "plant/line1/a"
BAD = 10
"""Every so many parts one is rejected."""
NOON = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)


def settings(database: str, folder: Path, broker: int = 1883, **more: Any) -> ArchiveSettings:
    """The archive's settings for a database and a broker on this machine."""
    mqtt = {"host": "127.0.0.1", "port": broker, "backoff_cap_s": 0.2, **more.pop("mqtt", {})}
    fields = {"database": database, "mqtt": mqtt, "data": str(folder / "archive"), **more}
    return ArchiveSettings.model_validate_json(json.dumps(fields))


def opened(database: str, folder: Path) -> Engine:
    """A database with the tables in it."""
    engine = open_database(settings(database, folder))
    with engine.begin() as connection:
        migrate(connection)
    return engine


def part(sequence: int, at: datetime | None = None, *, ok: bool = True, **changes: Any) -> Verdict:
    """A verdict whose id has the time of its decision; by default one a second from noon on."""
    moment = at or NOON + timedelta(seconds=sequence)
    identity = format_uuid7(round(moment.timestamp() * 1000), sequence)
    times = {"captured_at": moment, "decided_at": moment, "id": identity}
    return verdict(sequence, ok=ok).model_copy(update={**times, **changes})


def parts(count: int, *, bad: int = 10, first: int = 1, **changes: Any) -> list[Verdict]:
    """Parts one a second; every `bad`-th is rejected, and comes as its verdict and its defect with one region."""
    made: list[Verdict] = []
    for sequence in range(first, first + count):
        ok = bool(sequence % bad)
        made.append(part(sequence, ok=ok, **changes))
        if not ok:
            made.append(defect(made[-1], 100))
    return made


class Fed:
    """Writes messages as the recorder does, without broker and threads; it deletes nothing and asks for nothing."""

    def __init__(self, engine: Engine) -> None:
        self.writer = Writer(engine)
        self.stations: dict[str, FollowedStation] = {}

    def give(self, messages: Sequence[Payload], station: str = STATION) -> None:
        """Write messages of a station as one batch."""
        kinds = {
            "Defect": "defect",
            "Verdict": "verdict",
            "Status": "status",
            "LabelMessage": "label",
            "Reply": "reply",
        }
        self.give_raw([(kinds[type(message).__name__], message.to_json()) for message in messages], station)

    def give_raw(self, messages: Sequence[tuple[str, bytes]], station: str = STATION) -> None:
        """Write payloads of a station as one batch; each with the last level of its topic."""
        self.give_all([(station, kind, payload) for kind, payload in messages])

    def give_all(self, messages: Sequence[tuple[str, str, bytes]]) -> None:
        """Write payloads as one batch; each with its station and the last level of its topic."""
        batch = []
        for station, kind, payload in messages:
            if station not in self.stations:
                self.stations[station] = FollowedStation(Topics(*station.split("/")), self.writer.saved(station))
            message = MODELS[kind].model_validate_json(payload)
            changes = self.stations[station].take(message, 0.0) if isinstance(message, ArchivedPart) else []
            batch.append(StoredMessage(station, [*rows_of(message), *changes]))
        self.writer.write(batch, lambda key: self.stations[key].row())


def rows(engine: Engine, table: str) -> list[dict[str, Any]]:
    """All rows of a table, by its key."""
    source = METADATA.tables[table]
    with engine.connect() as connection:
        found = connection.execute(select(source).order_by(*source.primary_key.columns))
        return [dict(row) for row in found.mappings()]


def value(engine: Engine, query: str) -> Any:
    """The only value that a query gives; None where the database is away."""
    with contextlib.suppress(SQLAlchemyError), engine.connect() as connection:
        return connection.execute(text(query)).scalar()
    return None


class Archive:
    """`edge-inspect archive run` as a process that can be killed."""

    def __init__(self, chosen: ArchiveSettings, folder: Path) -> None:
        self.config, self._log = folder / "archive.yaml", folder / "archive.log"
        # JSON is YAML.
        self.config.write_text(chosen.model_dump_json(exclude_unset=True))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until the broker has confirmed its subscriptions."""
        before = self.log.count("connected to broker")
        command = [sys.executable, "-m", "edge_inspect.edge.cli", "archive", "run", "--config", str(self.config)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log)
        wait_until(lambda: self.log.count("connected to broker") > before or self._ended(), PATIENCE_S, "it connects")
        assert not self._ended(), self.log

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    @property
    def log(self) -> str:
        """What it has logged since its first start."""
        return self._log.read_text() if self._log.exists() else ""

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """End it in order; return its exit status."""
        assert self._process is not None
        self._process.terminate()
        status = self._process.wait(PATIENCE_S)
        self._process = None
        return status


@contextlib.contextmanager
def running(chosen: ArchiveSettings, folder: Path) -> Iterator[Archive]:
    """An archive that runs."""
    archive = Archive(chosen, folder)
    try:
        archive.start()
        yield archive
    finally:
        archive.kill()


class Load(threading.Thread):
    """Puts parts of a station until `close`, every tenth of them rejected.

    Args:
        line: The station.
        rate: Parts a second.
    """

    def __init__(self, line: Line, rate: float = 200) -> None:
        super().__init__(daemon=True)
        self._line, self._rate, self._ended, self.parts = line, rate, threading.Event(), 0
        self.start()

    def run(self) -> None:
        """Put what is due every 20 ms."""
        began = time.monotonic()
        while not self._ended.wait(0.02):
            due = int((time.monotonic() - began) * self._rate) - self.parts
            self._line.put(due, bad=BAD)
            self.parts += due

    def close(self) -> int:
        """End; return how many parts were put."""
        self._ended.set()
        self.join()
        return self.parts


def stored(engine: Engine) -> int:
    """How many parts are in the database; 0 where it is away."""
    return value(engine, "SELECT COUNT(*) FROM verdicts") or 0


def check_all(engine: Engine, archive: Archive, parts: int) -> None:
    """Every part is there once with its defect, every one is counted once, and `archive check` agrees."""
    wait_until(lambda: stored(engine) >= parts, PATIENCE_S, "all parts are stored")
    wait_until(lambda: value(engine, "SELECT COUNT(*) FROM defects") == parts // BAD, PATIENCE_S, "and their defects")
    assert [row["sequence"] for row in rows(engine, "verdicts")] == list(range(1, parts + 1))
    assert value(engine, "SELECT SUM(parts) FROM counts") == parts
    assert main(["archive", "check", "--config", str(archive.config)]) == 0
