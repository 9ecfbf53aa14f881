"""PostgreSQL ends at any moment, under load and at the start of the archive: every part is stored once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from archive_parts import BAD, PATIENCE_S, Archive, Load, check_all, running, settings, stored
from bridge_parts import Line
from mosquitto import Broker, wait_until
from postgresql import PostgreSQL

from edge_inspect.edge.archive.database import open_database


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
                wanted = stored(reader) + 100
                wait_until(lambda wanted=wanted: stored(reader) >= wanted, PATIENCE_S, "parts are stored")
                server.kill()
                wanted = load.parts + 50
                wait_until(lambda wanted=wanted: load.parts >= wanted, PATIENCE_S, "parts come meanwhile")
                wait_until(lambda kill=kill: archive.log.count("trying again") >= kill, PATIENCE_S)
                server.start()
            check_all(reader, archive, load.close())
            assert archive.stop() == 0
        reader.dispose()
    finally:
        server.remove()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_message_is_acknowledged_only_when_it_is_stored(
    broker: Broker, line: Line, tmp_path: Path, protocol: str
) -> None:
    server = PostgreSQL("fsync = off")
    try:
        server.start()
        chosen = settings(server.create("parts"), tmp_path, broker.port, mqtt={"protocol": protocol})
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
