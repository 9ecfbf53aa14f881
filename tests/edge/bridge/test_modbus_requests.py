"""What is answered to a request: registers, or the exception that the specification names."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import pytest
from bridge_parts import put, reading, settings

from edge_inspect.edge.bridge.modbus_requests import (
    DEVICE_FAILURE,
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    ModbusRequests,
)
from edge_inspect.edge.bridge.registers import BLOCK
from edge_inspect.edge.bridge.station import BridgedStation, SavedStation
from edge_inspect.edge.contract.topics import Topics

STATIONS = 3
SHOWN = 10


@pytest.fixture
def stations(tmp_path: Path) -> list[BridgedStation]:
    """Three, the second with ten parts, that are acknowledged."""
    chosen = settings(1883, tmp_path, STATIONS, modbus={"acknowledge": True})
    made = [
        BridgedStation(Topics(name.site, name.line, name.station), chosen, SavedStation(), 1)
        for name in chosen.stations
    ]
    put(made[1], *range(1, SHOWN + 1))
    return made


@pytest.fixture
def answers(stations: list[BridgedStation]) -> ModbusRequests:
    return ModbusRequests(stations)


def writing(address: int, value: int) -> bytes:
    return struct.pack(">BHH", 6, address, value)


def writing_several(address: int, *values: int, count: int | None = None, size: int | None = None) -> bytes:
    number = len(values)
    head = (16, address, number if count is None else count, (2 * number if size is None else size) & 0xFF)
    return struct.pack(f">BHHB{number}H", *head, *values)


@pytest.mark.parametrize("function", [3, 4])
@pytest.mark.parametrize(
    ("address", "count"),
    [
        (0, 1),
        (0, 125),
        (BLOCK - 1, 1),
        (BLOCK - 60, 125),
        (2 * BLOCK - 5, 10),
        (3 * BLOCK - 125, 125),
        (3 * BLOCK - 1, 1),
    ],
)
def test_registers_are_read(
    answers: ModbusRequests, stations: list[BridgedStation], function: int, address: int, count: int
) -> None:
    registers = [word for station in stations for word in station.registers(0.0)]
    words = registers[address : address + count]
    assert len(words) == count
    expected = struct.pack(f">BB{count}H", function, 2 * count, *words)
    assert answers.answer(reading(address, count, function)) == expected


@pytest.mark.parametrize("function", [3, 4])
@pytest.mark.parametrize(
    ("address", "count", "code"),
    [
        (0, 0, ILLEGAL_VALUE),
        (0, 126, ILLEGAL_VALUE),
        (0, 0xFFFF, ILLEGAL_VALUE),
        # The quantity is looked at first.
        (0xFFFF, 0, ILLEGAL_VALUE),
        (3 * BLOCK, 1, ILLEGAL_ADDRESS),
        (3 * BLOCK - 1, 2, ILLEGAL_ADDRESS),
        (0xFFFF, 1, ILLEGAL_ADDRESS),
        # Beyond 16 bits together.
        (0xFFFF, 125, ILLEGAL_ADDRESS),
        (0xFFFF - 3, 5, ILLEGAL_ADDRESS),
    ],
)
def test_what_cannot_be_read(answers: ModbusRequests, function: int, address: int, count: int, code: int) -> None:
    assert answers.answer(reading(address, count, function)) == bytes((function | 0x80, code))


@pytest.mark.parametrize("function", [3, 4, 6, 16])
@pytest.mark.parametrize("data", [b"", b"\0", bytes(3), bytes(5), bytes(252), bytes(400)])
def test_data_of_the_wrong_length(answers: ModbusRequests, function: int, data: bytes) -> None:
    assert answers.answer(bytes((function,)) + data) == bytes((function | 0x80, ILLEGAL_VALUE))


@pytest.mark.parametrize("function", sorted({*range(256)} - {3, 4, 6, 16}))
def test_every_other_function_is_refused_with_its_own_code(answers: ModbusRequests, function: int) -> None:
    for data in (b"", b"\0\0\0\1", bytes(252)):
        assert answers.answer(bytes((function,)) + data) == bytes((function | 0x80, ILLEGAL_FUNCTION))


@pytest.mark.parametrize("several", [False, True])
def test_acknowledged_is_written(answers: ModbusRequests, stations: list[BridgedStation], several: bool) -> None:
    for value in (3, 3, SHOWN):
        request = writing_several(BLOCK + 22, value) if several else writing(BLOCK + 22, value)
        assert answers.answer(request) == request[:5]
        assert stations[1].registers(0.0)[22] == value
    assert stations[0].registers(0.0)[22] == stations[2].registers(0.0)[22] == 0


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        # Not shown yet, and before the last acknowledged.
        (writing(BLOCK + 22, SHOWN + 1), ILLEGAL_VALUE),
        (writing(BLOCK + 22, 4), ILLEGAL_VALUE),
        (writing_several(BLOCK + 22, 0xFFFF), ILLEGAL_VALUE),
        (writing(BLOCK + 21, 6), ILLEGAL_ADDRESS),
        (writing(0, 0), ILLEGAL_ADDRESS),
        (writing(STATIONS * BLOCK + 22, 0), ILLEGAL_ADDRESS),
        (writing(0xFFFF, 0), ILLEGAL_ADDRESS),
        (writing_several(BLOCK + 21, 0, 6), ILLEGAL_ADDRESS),
        (writing_several(BLOCK + 22, 6, 0), ILLEGAL_ADDRESS),
        (writing_several(0xFFFF, *[0] * 123), ILLEGAL_ADDRESS),
        (writing_several(BLOCK + 22), ILLEGAL_VALUE),
        (writing_several(BLOCK + 22, *[6] * 124), ILLEGAL_VALUE),
        (writing_several(BLOCK + 22, *[6] * 129), ILLEGAL_VALUE),
        (writing_several(BLOCK + 22, 6, count=2), ILLEGAL_VALUE),
        (writing_several(BLOCK + 22, 6, count=0), ILLEGAL_VALUE),
        (writing_several(BLOCK + 22, 6, size=1), ILLEGAL_VALUE),
        (writing_several(BLOCK + 22, 6, size=4), ILLEGAL_VALUE),
        (writing_several(BLOCK + 22, 6) + b"\0", ILLEGAL_VALUE),
    ],
)
def test_what_cannot_be_written(
    answers: ModbusRequests, stations: list[BridgedStation], request_: bytes, code: int
) -> None:
    assert answers.answer(writing(BLOCK + 22, 5)) == writing(BLOCK + 22, 5)
    assert answers.answer(request_) == bytes((request_[0] | 0x80, code))
    assert stations[1].registers(0.0)[22] == 5


def test_a_fault_of_ours_is_exception_4_and_in_the_log(
    answers: ModbusRequests, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(BridgedStation, "registers", lambda self, now: [1.5] * BLOCK)
    with caplog.at_level(logging.ERROR):
        assert answers.answer(reading(0, 1)) == bytes((0x83, DEVICE_FAILURE))
    assert "an error of the bridge prevents an answer to the request 0300000001" in caplog.text
