"""The archive as a process, between a real broker and real databases that end at any moment: every part once."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from archive_parts import BAD, PATIENCE_S, Load, check_all, rows, running, settings, stored
from bridge_parts import Line
from mosquitto import Broker, Subscriber, free_port, wait_until
from sqlalchemy import Engine
from station_parts import TOPICS

from edge_inspect.edge.archive.database import open_database
from edge_inspect.edge.cli import main
from edge_inspect.edge.contract.examples import examples
from edge_inspect.edge.outbox.sqlite import SqliteOutbox


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
        assert "SIGTERM: stopping" in archive.log
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


def test_an_archive_that_is_killed_under_load_stores_every_part_once(
    database: str, reader: Engine, broker: Broker, line: Line, tmp_path: Path
) -> None:
    with running(settings(database, tmp_path, broker.port), tmp_path) as archive:
        load = Load(line)
        for _ in range(2):
            wanted = stored(reader) + 50
            wait_until(lambda wanted=wanted: stored(reader) >= wanted, PATIENCE_S, "parts are stored")
            archive.kill()
            archive.start()
        check_all(reader, archive, load.close())


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

        def all_stored() -> bool:
            # As a station does, again and again: the broker drops it while the archive's queue is full.
            line.health()
            return stored(reader) >= 310

        wait_until(all_stored, PATIENCE_S, "all parts are stored")
        check_all(reader, archive, 310)
        (station,) = rows(reader, "stations")
        assert (station["newest"], station["lost"]) == (310, 0) and line.asked
        assert {command.by for command in line.asked} == {"archive"}
        assert archive.stop() == 0
    reader.dispose()
    line.publisher.close()
    outbox.close()
    broker.stop()
