"""Modbus TCP with a real client: what can be read and written, and what cannot."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bridge_parts import Plc, RawPlc, put, reading, request, serving
from mosquitto import wait_until

from edge_inspect.edge.bridge.modbus_requests import ModbusRequests
from edge_inspect.edge.bridge.modbus_server import MOST_CONNECTIONS, TCP_OPTIONS
from edge_inspect.edge.bridge.registers import BLOCK
from edge_inspect.edge.errors import ConfigurationError

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3


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


@contextlib.contextmanager
def raw(port: int) -> Iterator[RawPlc]:
    client = RawPlc(port)
    try:
        yield client
    finally:
        client.close()


def answered(client: RawPlc, count: int) -> list[int]:
    """The transactions of so many answers; each must be of 72 registers."""
    found = [client.answer() for _ in range(count)]
    assert all(one is not None and one[2][:2] == bytes((3, 144)) and len(one[2]) == 146 for one in found), found
    return [one[0] for one in found if one is not None]


READ_72 = reading(0, 72)


@pytest.mark.parametrize("size", [12 * 40, 1, 5, 7, 12 * 3 + 1, 12 * 20 - 1])
def test_every_request_is_answered_however_it_is_cut(tmp_path: Path, size: int) -> None:
    with serving(tmp_path) as (_, port), raw(port) as client:
        stream = b"".join(request(number, READ_72) for number in range(40))
        for at in range(0, len(stream), size):
            client.send(stream[at : at + size])
            # The server has the pieces one by one, not all when it looks for the first time.
            time.sleep(0.0005)
        assert answered(client, 40) == list(range(40))
        client.send(request(99, READ_72))
        assert answered(client, 1) == [99]


def test_a_piece_and_its_rest(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, port), raw(port) as client, raw(port) as other:
        stream = request(1, READ_72) + request(2, READ_72)
        client.send(stream[:18])
        assert answered(client, 1) == [1]
        assert other.ask(READ_72)[:2] == bytes((3, 144))
        client.send(stream[18:])
        assert answered(client, 1) == [2]


def test_a_client_that_sends_no_more_gets_its_answers(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, port), raw(port) as client:
        client.send(*(request(number, READ_72) for number in range(500)))
        client.end()
        assert answered(client, 500) == list(range(500)) and client.answer() is None


@pytest.mark.parametrize("unit", [0, 1, 77, 247, 255])
def test_transaction_and_unit_come_back(tmp_path: Path, unit: int) -> None:
    with serving(tmp_path) as (_, port), raw(port) as client:
        for transaction in (0, 1, 0xFFFF):
            client.send(request(transaction, READ_72, unit), request(transaction, b"\x2b\x0e\x01\x00", unit))
            read, refused = client.answer(), client.answer()
            assert read is not None and read[:2] == (transaction, unit) and len(read[2]) == 146
            assert refused == (transaction, unit, b"\xab\x01")


RUBBISH = {
    "zeros": bytes(300),
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "TLS": bytes.fromhex("160301010d010001090303") + bytes(range(200)),
    "ones": b"\xff" * 7,
    "no unit": request(1, READ_72)[:4] + b"\0\0",
    "no function": request(1, b""),
    "over-long": struct.pack(">HHHB", 1, 0, 512, 1),
    "ASCII": b":010300000048B4\r\n",
}


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=list(RUBBISH))
def test_what_is_no_modbus_ends_its_own_connection(
    tmp_path: Path, rubbish: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(tmp_path) as (_, port), raw(port) as other, raw(port) as client:
        # What stands before it is answered, though more comes behind.
        client.send(request(1, READ_72), request(2, READ_72), rubbish, request(3, READ_72))
        assert answered(client, 2) == [1, 2] and client.answer() is None
        assert other.ask(READ_72)[:2] == bytes((3, 144))
        with raw(port) as again:
            assert again.ask(READ_72)[:2] == bytes((3, 144))
    assert "is closed: not Modbus TCP" in caplog.text and "127.0.0.1:" in caplog.text


@pytest.mark.parametrize("protocol", [1, 0x0200, 0xFFFF])
def test_a_frame_of_another_protocol_is_skipped(tmp_path: Path, protocol: int) -> None:
    with serving(tmp_path) as (_, port), raw(port) as client:
        client.send(request(1, READ_72), request(2, READ_72, protocol=protocol), request(3, READ_72))
        assert answered(client, 2) == [1, 3]


@pytest.mark.parametrize("piece", [request(1, READ_72)[:9], b"\0", b"\x01\x03\x00\x00\x00\x48\x45\xfc"])
def test_the_rest_of_a_request_is_not_awaited_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, piece: bytes
) -> None:
    monkeypatch.setattr("edge_inspect.edge.bridge.modbus_server.REST_S", 0.2)
    with serving(tmp_path) as (_, port), raw(port) as idle, raw(port) as client:
        client.send(piece)
        assert client.answer() is None
        # A client that has sent nothing may be silent as long as it likes.
        assert idle.ask(READ_72)[:2] == bytes((3, 144))
    assert "the rest of a request did not come for 0.2 s; is it Modbus RTU?" in caplog.text


def test_a_client_that_does_not_read_costs_nobody_else(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, port), raw(port) as deaf, raw(port) as other:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.socket.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 50_000_000:
                sent += deaf.socket.send(request(1, READ_72) * 100)
        # Some more that the server was still taking.
        for _ in range(50):
            assert other.ask(READ_72)[:2] == bytes((3, 144))
        with contextlib.suppress(BlockingIOError):
            while sent < 50_000_000:
                sent += deaf.socket.send(request(1, READ_72) * 100)
        assert sent < 50_000_000, "the server takes requests without end"
        assert other.ask(READ_72)[:2] == bytes((3, 144))


def test_a_client_that_does_not_read_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TCP_OPTIONS, socket.TCP_USER_TIMEOUT, 300)
    with serving(tmp_path) as (_, port), raw(port) as deaf, raw(port) as idle:

        def ask_on() -> bool:
            try:
                deaf.socket.send(request(1, READ_72) * 100)
            except BlockingIOError:
                return False
            except ConnectionError:
                return True
            return False

        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.socket.setblocking(False)
        wait_until(ask_on, 60, "the server hangs up")
        assert idle.ask(READ_72)[:2] == bytes((3, 144))


def test_one_that_asks_without_pause_leaves_the_others_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on, answer = [], threading.Event(), ModbusRequests.answer

    def slow(self: ModbusRequests, pdu: bytes) -> bytes:
        asked.append(pdu)
        assert go_on.wait(60)
        return answer(self, pdu)

    monkeypatch.setattr(ModbusRequests, "answer", slow)
    with serving(tmp_path) as (_, port), raw(port) as greedy, raw(port) as other:
        greedy.send(*(request(number, READ_72) for number in range(300)))
        wait_until(lambda: bool(asked), 30, "the first is under way")
        other.send(*(request(number, reading(1, 1)) for number in range(3)))
        go_on.set()
        assert answered(greedy, 300) == list(range(300))
        assert [found[0] for found in (other.answer(), other.answer(), other.answer()) if found] == [0, 1, 2]
    assert [at for at, pdu in enumerate(asked) if pdu != READ_72][-1] < 20


def test_too_many_connections(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(tmp_path) as (_, port), contextlib.ExitStack() as stack:
        plc = stack.enter_context(raw(port))
        silent = stack.enter_context(raw(port))
        assert plc.ask(READ_72)[:2] == bytes((3, 144))
        # Whoever has asked stays; of those who have not, the oldest goes.
        flood = [stack.enter_context(raw(port)) for _ in range(3 * MOST_CONNECTIONS)]
        assert silent.answer() is None and flood[0].answer() is None
        for _ in range(3):
            assert plc.ask(READ_72)[:2] == bytes((3, 144))
        assert flood[-1].ask(READ_72)[:2] == bytes((3, 144))
        # Clients that ask once and leave their connection behind: of these the longest unused goes.
        forgotten = []
        for _ in range(2 * MOST_CONNECTIONS):
            forgotten.append(stack.enter_context(raw(port)))
            assert forgotten[-1].ask(READ_72)[:2] == plc.ask(READ_72)[:2] == bytes((3, 144))
        assert forgotten[0].answer() is None
    assert f"there are {MOST_CONNECTIONS} connections" in caplog.text


def test_connections_that_are_dropped_leave_nothing_behind(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, port):
        opened = len(list(Path("/proc/self/fd").iterdir()))
        for number in range(2 * MOST_CONNECTIONS):
            with raw(port) as client:
                client.send(request(1, READ_72) * 3 + request(2, READ_72)[: number % 12])
                # Half of them with a reset, with answers under way.
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", number % 2, 0))
        wait_until(lambda: len(list(Path("/proc/self/fd").iterdir())) == opened, 30, "all are closed")
        with raw(port) as client:
            assert client.ask(READ_72)[:2] == bytes((3, 144))


def test_closing_hangs_up_on_everyone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.ExitStack() as stack:
        with serving(tmp_path) as (_, port):
            clients = [stack.enter_context(raw(port)) for _ in range(3)]
            for client, more in zip(clients, (b"", b"rubbish", request(1, READ_72)[:5]), strict=True):
                client.send(request(1, READ_72) + more)
                assert answered(client, 1) == [1]
        assert [client.answer() for client in clients] == [None, None, None]
        assert not caplog.records[1:], "asyncio complains"
        with pytest.raises(ConnectionRefusedError):
            RawPlc(port)
        assert "modbus" not in [thread.name for thread in threading.enumerate()]


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    taken = serving(tmp_path)
    with (
        taken as (_, port),
        pytest.raises(ConfigurationError, match=rf"modbus: cannot listen on 127.0.0.1:{port}: the port is in use"),
    ):
        serving(tmp_path, port=port).__enter__()


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("no-such-host.invalid", "the host name 'no-such-host.invalid' is unknown; set modbus.host"),
        ("192.0.2.1", "this box does not have that address; .* or to 0.0.0.0 for all"),
    ],
)
def test_an_address_that_cannot_be_listened_on(tmp_path: Path, host: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"modbus: cannot listen on .*{why}"):
        serving(tmp_path, host=host).__enter__()


def test_a_port_that_needs_a_privilege(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bind = socket.socket.bind

    def refuse(self: socket.socket, address: tuple[str, int]) -> None:
        if address[1] == 502:
            raise PermissionError(errno.EACCES, "Permission denied")
        bind(self, address)

    # Tests may run as root, who may use every port.
    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ConfigurationError, match="a port below 1024 needs a privilege"):
        serving(tmp_path, port=502).__enter__()
