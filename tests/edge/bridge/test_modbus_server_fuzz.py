"""Any bytes from several clients at once: each gets what a model of the specification says, and no other notices."""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from bridge_parts import RawPlc, put, reading, request, serving
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_inspect.edge.bridge.modbus_requests import ModbusRequests

SHOWN = 10
WRITABLE = (22, 74, 1022, 1074)
"""Nothing else can be written; nor can these without `acknowledge: true` and `recipes`."""


class Served(NamedTuple):
    answers: ModbusRequests
    port: int
    registers: list[int]
    steady: RawPlc


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two stations that do not change, and a client that is connected all the time."""
    with contextlib.ExitStack() as stack:
        # A client here goes on sending when it has been hung up on, however slow the machine is.
        stack.enter_context(pytest.MonkeyPatch.context()).setattr("edge_inspect.edge.bridge.modbus_server.LINGER_S", 60)
        stations, port = stack.enter_context(serving(tmp_path_factory.mktemp("served")))
        put(stations[0], *range(1, SHOWN + 1))
        steady = RawPlc(port)
        stack.callback(steady.close)
        yield Served(
            ModbusRequests(stations), port, [word for station in stations for word in station.registers(0.0)], steady
        )


def model(stream: bytes, registers: list[int]) -> bytes:
    """What the server must answer to a stream from its beginning to its end; nothing can be written."""
    answers = b""
    while len(stream) >= 6:
        transaction, protocol, length = struct.unpack(">HHH", stream[:6])
        if not 2 <= length < 512 or len(stream) < 6 + length:
            break
        unit, pdu, stream = stream[6], stream[7 : 6 + length], stream[6 + length :]
        if protocol == 0:
            answer = model_answer(pdu, registers)
            answers += struct.pack(">HHHB", transaction, 0, 1 + len(answer), unit) + answer
    return answers


def model_answer(pdu: bytes, registers: list[int]) -> bytes:
    function = pdu[0]
    numbers = [int.from_bytes(pdu[at : at + 2], "big") for at in (1, 3)]
    if function not in (3, 4, 6, 16):
        exception = 1
    elif function in (3, 4):
        first, count = numbers
        if len(pdu) == 5 and 0 < count < 126 and first + count <= len(registers):
            words = b"".join(word.to_bytes(2, "big") for word in registers[first : first + count])
            return bytes((function, len(words))) + words
        exception = 2 if len(pdu) == 5 and 0 < count < 126 else 3
    elif function == 6:
        exception = 3 if len(pdu) != 5 or numbers[0] in WRITABLE else 2
    else:
        well_formed = len(pdu) > 5 and 0 < numbers[1] < 124 and pdu[5] == 2 * numbers[1] == len(pdu) - 6
        exception = 3 if not well_formed or (numbers[0] in WRITABLE and numbers[1] == 1) else 2
    return bytes((function | 0x80, exception))


ADDRESSES = st.one_of(
    st.sampled_from([0, 21, 22, 23, 73, 74, 75, 999, 1000, 1022, 1074, 1999, 2000, 0xFFFF]), st.integers(0, 0xFFFF)
)
COUNTS = st.one_of(st.sampled_from([0, 1, 2, 72, 123, 124, 125, 126, 127, 0xFFFF]), st.integers(0, 0xFFFF))
READS = st.builds(reading, ADDRESSES, COUNTS, st.sampled_from([3, 4]))
WRITES = st.builds(lambda address, value: struct.pack(">BHH", 6, address, value), ADDRESSES, COUNTS)
SEVERAL = st.builds(
    lambda address, count, size, data: struct.pack(">BHHB", 16, address, count, size) + data,
    ADDRESSES,
    st.sampled_from([0, 1, 2, 123, 124]),
    st.sampled_from([0, 1, 2, 4, 246, 248, 255]),
    st.sampled_from([0, 1, 2, 4, 246, 248, 255]).map(bytes),
)
PDUS = st.one_of(READS, WRITES, SEVERAL, st.binary(min_size=1, max_size=300))
FRAMES = st.builds(
    request, st.integers(0, 0xFFFF), PDUS, st.integers(0, 255), st.sampled_from([0, 0, 0, 0, 0, 0, 1, 0xFFFF])
)
MUTATED = st.builds(
    lambda frame, at, value: frame[: at % len(frame)] + bytes((value,)) + frame[at % len(frame) + 1 :],
    FRAMES,
    st.integers(0, 12),
    st.integers(0, 255),
)
CUT = st.builds(lambda frame, left: frame[:left], FRAMES, st.integers(0, 20))
STREAMS = st.lists(st.one_of(FRAMES, FRAMES, FRAMES, MUTATED, CUT, st.binary(max_size=40)), max_size=8).map(b"".join)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[bytes], list[tuple[int, bytes]]]:
    """Streams of one to four clients, and their pieces, each with its client, in the order in which they are sent."""
    streams = draw(st.lists(STREAMS, min_size=1, max_size=4))
    left, pieces = dict(enumerate(streams)), []
    while left:
        client = draw(st.sampled_from(sorted(left)))
        size = draw(st.one_of(st.integers(1, 20), st.integers(1, 2000)))
        pieces.append((client, left[client][:size]))
        left[client] = left[client][size:]
        if not left[client]:
            del left[client]
    return streams, pieces


def test_the_model_knows_the_specification() -> None:
    registers = list(range(2000))
    assert model(request(5, reading(7, 2), 9), registers) == bytes.fromhex("0005 0000 0007 09 03 04 0007 0008")
    assert model(request(5, reading(7, 126), 9) + request(6, b"\x2b"), registers) == bytes.fromhex(
        "0005 0000 0003 09 83 03  0006 0000 0003 01 ab 01"
    )


@settings(deadline=None, max_examples=2000)
@given(PDUS)
def test_every_request_has_the_answer_that_the_specification_says(served: Served, pdu: bytes) -> None:
    assert served.answers.answer(pdu) == model_answer(pdu, served.registers)


@settings(deadline=None, max_examples=150)
@given(conversations())
@example(
    ([request(n, reading(0, 72)) * 30 for n in range(4)], [(n, request(n, reading(0, 72)) * 30) for n in range(4)])
)
def test_everyone_gets_what_the_specification_says(
    served: Served, conversation: tuple[list[bytes], list[tuple[int, bytes]]]
) -> None:
    streams, pieces = conversation
    with contextlib.ExitStack() as stack:
        clients = [RawPlc(served.port) for _ in streams]
        for client in clients:
            stack.callback(client.close)
        for number, piece in pieces:
            clients[number].send(piece)
        assert served.steady.ask(reading(0, 72))[:2] == bytes((3, 144))
        for client, stream in zip(clients, streams, strict=True):
            client.end()
            assert client.rest() == model(stream, served.registers)
    assert served.steady.ask(reading(0, 125))[2:] == struct.pack(">125H", *served.registers[:125])
    assert "modbus" in [thread.name for thread in threading.enumerate()]
