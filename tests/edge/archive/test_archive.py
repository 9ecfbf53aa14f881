"""The archive as a process, between a real broker and real databases that end at any moment: every part once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from archive_parts import PATIENCE_S, Archive, rows, running, settings, value
from bridge_parts import Line
from mosquitto import Broker, Subscriber, free_port, wait_until
from postgresql import PostgreSQL
from sqlalchemy import Engine
from station_parts import TOPICS

from edge_inspect.edge.archive.database import open_database
from edge_inspect.edge.cli import main
from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.outbox.sqlite import SqliteOutbox

BAD = 10


@pytest.fixture
def line(tmp_path: Path, broker: Broker) -> Iterator[Line]:
    """A station with a real outbox and a real connection, whose every tenth part is rejected."""
    outbox = SqliteOutbox(tmp_path / "outbox.db")
    made = Line(broker.port, outbox, window=64)
    yield made
    made.publisher.close()
    outbox.close()


class Load(threading.Thread):
    """Puts parts until `close`, about 200 a second."""

    def __init__(self, line: Line) -> None:
        super().__init__(daemon=True)
        self._line, self._ended, self.parts = line, threading.Event(), 0
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.05):
            self._line.put(10, bad=BAD)
            self.parts += 10

    def close(self) -> int:
        """End; return how many parts were put."""
        self._ended.set()
        self.join()
        return self.parts


def stored(engine: Engine) -> int:
    return value(engine, "SELECT COUNT(*) FROM verdicts") or 0


def check_all(engine: Engine, archive: Archive, parts: int) -> None:
    """Every part is there once with its defect, every one is counted once, and `archive check` agrees."""
    wait_until(lambda: stored(engine) >= parts, PATIENCE_S, "all parts are stored")
    wait_until(lambda: value(engine, "SELECT COUNT(*) FROM defects") == parts // BAD, PATIENCE_S, "and their defects")
    assert [row["sequence"] for row in rows(engine, "verdicts")] == list(range(1, parts + 1))
    assert value(engine, "SELECT SUM(parts) FROM counts") == parts
    assert main(["archive", "check", "--config", str(archive.config)]) == 0


@pytest.fixture
def reader(database: str, tmp_path: Path) -> Iterator[Engine]:
    """A connection of the tests to the same database."""
    made = open_database(settings(database, tmp_path))
    yield made
    made.dispose()


def test_what_stations_and_people_say_is_stored_and_checked(
    database: str, reader: Engine, broker: Broker, line: Line, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    chosen = settings(database, tmp_path, broker.port, http_port=port)
    with running(chosen, tmp_path) as archive:
        line.put(30, bad=BAD, part_id="SN-7")
        line.health()
        person = Subscriber(broker.port, "nothing/#")
        label: Any = examples()["label"][0]
        person.publish(TOPICS.label, label.to_json())
        person.publish(TOPICS.verdict, b'{"sequence": 1')
        person.publish(TOPICS.verdict, b"")
        check_all(reader, archive, 30)
        wait_until(lambda: len(rows(reader, "labels")) == 1, PATIENCE_S)
        wait_until(lambda: "not stored" in archive.log, PATIENCE_S)
        states = [row["state"] for row in rows(reader, "states")]
        assert states == ["online"] and rows(reader, "stations")[0]["heard_at"] is not None
        connection = HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/healthz")
        answer = json.loads(connection.getresponse().read())
        assert answer["ok"] is True and answer["database"] == "ok"
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        assert 'edge_inspect_archive_rows_total{table="verdicts"} 30.0' in text
        assert 'edge_inspect_archive_missing_parts{site="plant",line="line1",station="a"} 0.0' in text
        connection.close()
        # What was stored and acknowledged does not come again.
        assert archive.stop() == 0
        archive.start()
        line.put(10, bad=BAD)
        check_all(reader, archive, 40)
        person.close()
        assert archive.stop() == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == "plant/line1/a  parts 1 to 40: 40 verdicts, 0 missing"
    with reader.begin() as connection_:
        connection_.exec_driver_sql("DELETE FROM verdicts WHERE sequence IN (7, 8)")
    assert main(["archive", "check", "--config", str(archive.config)]) == 1
    assert "    missing #7 to #8" in capsys.readouterr().out


@pytest.mark.parametrize("kills", [3])
def test_a_database_that_is_killed_under_load_costs_no_part(
    broker: Broker, line: Line, tmp_path: Path, kills: int
) -> None:
    server = PostgreSQL("fsync = off")
    try:
        server.start()
        chosen = settings(server.create("parts"), tmp_path, broker.port)
        reader = open_database(chosen)
        with running(chosen, tmp_path) as archive:
            load = Load(line)
            for kill in range(1, kills + 1):
                before = stored(reader)
                wait_until(lambda: stored(reader) >= before + 100, PATIENCE_S, "parts are stored")  # noqa: B023
                server.kill()
                had = load.parts
                wait_until(lambda: load.parts >= had + 50, PATIENCE_S, "parts come meanwhile")  # noqa: B023
                wait_until(lambda: archive.log.count("trying again") >= kill, PATIENCE_S)  # noqa: B023
                server.start()
            check_all(reader, archive, load.close())
            assert archive.stop() == 0
        reader.dispose()
    finally:
        server.remove()


def test_an_archive_that_is_killed_under_load_stores_every_part_once(
    database: str, reader: Engine, broker: Broker, line: Line, tmp_path: Path
) -> None:
    with running(settings(database, tmp_path, broker.port), tmp_path) as archive:
        load = Load(line)
        for _ in range(2):
            before = stored(reader)
            wait_until(lambda: stored(reader) >= before + 50, PATIENCE_S, "parts are stored")  # noqa: B023
            archive.kill()
            archive.start()
        check_all(reader, archive, load.close())


def test_a_message_is_acknowledged_only_when_it_is_stored(broker: Broker, line: Line, tmp_path: Path) -> None:
    server = PostgreSQL("fsync = off")
    try:
        server.start()
        chosen = settings(server.create("parts"), tmp_path, broker.port)
        with running(chosen, tmp_path) as archive:
            server.kill()
            line.put(50, bad=BAD)
            wait_until(lambda: "trying again" in archive.log, PATIENCE_S)
            archive.kill()  # with what it has received and not stored
            server.start()
            archive.start()
            reader = open_database(chosen)
            check_all(reader, archive, 50)
            reader.dispose()
    finally:
        server.remove()


def test_what_the_broker_did_not_keep_is_asked_for(database: str, tmp_path: Path) -> None:
    """The broker keeps 20 messages for the archive, and 300 parts come while it is away."""
    broker = Broker(tmp_path, settings="allow_anonymous true\nmax_queued_messages 20\nmax_inflight_messages 10")
    broker.start()
    outbox = SqliteOutbox(tmp_path / "outbox.db")
    line = Line(broker.port, outbox, window=8)
    reader = open_database(settings(database, tmp_path))
    with running(settings(database, tmp_path, broker.port), tmp_path) as archive:
        line.put(10, bad=BAD)
        check_all(reader, archive, 10)
        archive.kill()
        line.put(300, bad=BAD)
        wait_until(lambda: outbox.depth().entries == 0, PATIENCE_S, "the broker has taken all")
        archive.start()
        line.health()
        check_all(reader, archive, 310)
        (station,) = rows(reader, "stations")
        assert (station["newest"], station["lost"]) == (310, 0) and line.asked
        assert {command.by for command in line.asked} == {"archive"}
        assert archive.stop() == 0
    reader.dispose()
    line.publisher.close()
    outbox.close()
    broker.stop()


def test_a_database_that_is_away_at_the_start_is_waited_for(broker: Broker, tmp_path: Path) -> None:
    server = PostgreSQL("fsync = off")
    try:
        server.start()
        url = server.create("parts")
        server.stop()
        archive = Archive(settings(url, tmp_path, broker.port), tmp_path)
        starting = threading.Thread(target=archive.start)
        starting.start()
        wait_until(lambda: "trying again" in archive.log, PATIENCE_S)
        server.start()
        starting.join(PATIENCE_S)
        assert not starting.is_alive() and "tables of revision 0001" in archive.log
        assert archive.stop() == 0
    finally:
        server.remove()
