"""Modbus TCP with a real client: what can be read and written, and what cannot."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bridge_parts import Plc, settings, verdict

from edge.bridge.registers import BLOCK
from edge.bridge.server import Server
from edge.bridge.station import BridgedStation, StationRecord
from edge.errors import ConfigurationError
from edge.messages import Topics

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3


@contextlib.contextmanager
def serving(folder: Path, **modbus: Any) -> Iterator[tuple[list[BridgedStation], int]]:
    """Two stations; gives them and the port."""
    chosen = settings(1883, folder, stations=2, modbus=modbus)
    stations = [
        BridgedStation(Topics(name.site, name.line, name.station), chosen, StationRecord(), 1)
        for name in chosen.stations
    ]
    server = Server(chosen.modbus, stations)
    try:
        yield stations, chosen.modbus.port
    finally:
        server.close()


def put(station: BridgedStation, *sequences: int) -> None:
    for sequence in sequences:
        station.receive(station.topics.verdict, verdict(sequence, part_id="SN-1").to_json(), 0.0, retained=False)


@pytest.mark.parametrize(("word_order", "client_order"), [("high_first", "big"), ("low_first", "little")])
def test_each_station_has_its_block(tmp_path: Path, word_order: str, client_order: str) -> None:
    with serving(tmp_path, word_order=word_order) as (stations, port):
        put(stations[1], *range(70_000, 70_005))
        first, second = (Plc(port, number, client_order) for number in (0, 1))
        assert (first.read()["parts"], second.read()["parts"], second.read()["sequence"]) == (0, 5, 70_004)
        assert (second.read()["score"], second.read()["part_id"], second.read()["map_version"]) == (0.25, "SN-1", 1)
        assert second.take() == 0 and second.sequences == list(range(70_000, 70_005))
        # Function 4 gives the same; a read over the border of two blocks too, and any device is answered.
        inputs = first.client.read_input_registers(BLOCK - 5, count=15, device_id=77).registers
        assert inputs == first.client.read_holding_registers(BLOCK - 5, count=15).registers
        assert inputs[5] == 1
        for plc in (first, second):
            plc.client.close()


def test_what_cannot_be_read_or_written_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, acknowledge=True) as (stations, port):
        put(stations[0], *range(1, 40))
        plc = Plc(port)
        assert plc.take(acknowledge=True) == 0 and plc.read()["acknowledged"] == 16
        assert plc.take(acknowledge=True) == 0 and plc.take(acknowledge=True) == 0
        assert plc.sequences == list(range(1, 40))
        client = plc.client
        before = client.read_holding_registers(0, count=100).registers
        assert client.write_registers(22, [39]).isError() is False
        for answer, code in (
            (client.read_holding_registers(2 * BLOCK), ILLEGAL_ADDRESS),
            (client.read_holding_registers(2 * BLOCK - 1, count=2), ILLEGAL_ADDRESS),
            (client.write_register(21, 1), ILLEGAL_ADDRESS),
            (client.write_registers(22, [39, 0]), ILLEGAL_ADDRESS),
            (client.write_registers(21, [0, 39]), ILLEGAL_ADDRESS),
            (client.write_register(22, 40), ILLEGAL_VALUE),
            (client.write_register(22, 38), ILLEGAL_VALUE),
            (client.write_coil(22, True), ILLEGAL_FUNCTION),
            (client.read_coils(0), ILLEGAL_FUNCTION),
            (client.mask_write_register(address=22, or_mask=1), ILLEGAL_FUNCTION),
        ):
            assert answer.isError() and answer.exception_code == code, answer
        assert client.read_holding_registers(0, count=100).registers == before
        client.close()


def test_without_acknowledgements_nothing_can_be_written(tmp_path: Path) -> None:
    with serving(tmp_path) as (stations, port):
        put(stations[0], 1)
        plc = Plc(port)
        plc.read()
        assert plc.client.write_register(22, 1).exception_code == ILLEGAL_VALUE
        plc.client.close()


def test_rubbish_does_not_end_it(tmp_path: Path) -> None:
    with serving(tmp_path) as (stations, port):
        put(stations[0], 1)
        for rubbish in (b"\0" * 300, b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 7, b"\0\1\0\0\0\6\1\3\0\0\xff\xff"):
            with socket.create_connection(("127.0.0.1", port)) as caller:
                caller.sendall(rubbish)
        plc = Plc(port)
        assert plc.read()["parts"] == 1
        plc.client.close()


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    taken = serving(tmp_path)
    with taken as (_, port), pytest.raises(ConfigurationError, match=rf"modbus: 127.0.0.1:{port} cannot be listened"):
        serving(tmp_path, port=port).__enter__()
