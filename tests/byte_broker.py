"""A broker on a real socket that does with each packet what a test says: for what no broker at hand does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from station_parts import mqtt

HANGS_UP = b""
SILENT = None
REFUSES_THE_VERSION = b"\x20\x02\x00\x01"
ACCEPTS_3_1_1 = b"\x20\x02\x00\x00"
ACCEPTS_5 = b"\x20\x03\x00\x00\x00"
"""Answers to CONNECT."""

PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, DISCONNECT = 3, 4, 8, 9, 10, 11, 12, 14
TAKES = 0
"""Answer to PUBLISH; above 0x7f it is an error, `HANGS_UP` ends the connection, `SILENT` is no answer."""


class Publish(NamedTuple):
    """What a client has published; `connection` counts from 0."""

    connection: int
    topic: str
    payload: bytes
    qos: int
    retain: bool


class Connect(NamedTuple):
    """A CONNECT packet, as far as tests look at it."""

    level: int
    client_id: str
    will_qos: int
    will_retain: bool


def connack(properties: bytes = b"", reason: int = 0) -> bytes:
    """An MQTT 5 CONNACK."""
    body = bytes([0, reason]) + _length(len(properties)) + properties
    return b"\x20" + _length(len(body)) + body


class ByteBroker:
    """Answers CONNECT and PUBLISH as told, and all else as a broker does.

    Args:
        on_connect: Returns the answer to a CONNECT; after `delay_s`.
        on_publish: Returns the answer to a PUBLISH.
    """

    def __init__(
        self,
        on_connect: Callable[[Connect], bytes | None] = lambda connect: (
            ACCEPTS_5 if connect.level == 5 else ACCEPTS_3_1_1
        ),
        on_publish: Callable[[Publish], int | bytes | None] = lambda publish: TAKES,
    ) -> None:
        self.connects: list[Connect] = []
        self.published: list[Publish] = []
        self.pings = 0
        self.delay_s = 0.0
        self._on_connect, self._on_publish = on_connect, on_publish
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.settings = mqtt(self.port, backoff_cap_s=0.3)
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> ByteBroker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def levels(self) -> list[int]:
        """The protocol level of each CONNECT: 5, or 4 for MQTT 3.1.1."""
        return [connect.level for connect in self.connects]

    def cut(self) -> None:
        """End every connection."""
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for client in self._clients:
            client.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                self._clients.append(client)
                self._threads.append(threading.Thread(target=self._serve, args=(client,)))
                self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client.makefile("rb") as stream:
            try:
                self._talk(client, stream.read)
            finally:
                client.shutdown(socket.SHUT_RDWR)

    def _talk(self, client: socket.socket, read: Callable[[int], bytes]) -> None:
        _, body = _packet(read)
        connect = _read_connect(body)
        self.connects.append(connect)
        number = len(self.connects) - 1
        time.sleep(self.delay_s)
        answer = self._on_connect(connect)
        if answer == HANGS_UP:
            return
        if answer is not SILENT:
            client.sendall(answer)
        while True:
            header, body = _packet(read)
            kind = header >> 4
            if kind == PUBLISH:
                publish, packet_id = _read_publish(header, body, number, connect.level == 5)
                self.published.append(publish)
                taken = self._on_publish(publish)
                if taken == HANGS_UP:
                    return
                if packet_id and taken is not SILENT:
                    client.sendall(_ack(PUBACK << 4, packet_id, bytes([taken]) if taken else b""))
            elif kind == SUBSCRIBE:
                properties = b"\x00" if connect.level == 5 else b""
                client.sendall(_ack(SUBACK << 4, body[:2], properties + b"\x01"))
            elif kind == UNSUBSCRIBE:
                client.sendall(_ack(UNSUBACK << 4, body[:2], b"\x00\x11" if connect.level == 5 else b""))
            elif kind == PINGREQ:
                self.pings += 1
                client.sendall(b"\xd0\x00")
            elif kind == DISCONNECT:
                return


def _packet(read: Callable[[int], bytes]) -> tuple[int, bytes]:
    header, length, shift = _exactly(read, 1)[0], 0, 0
    while True:
        digit = _exactly(read, 1)[0]
        length |= (digit & 127) << shift
        shift += 7
        if not digit & 128:
            return header, _exactly(read, length)


def _exactly(read: Callable[[int], bytes], count: int) -> bytes:
    data = read(count)
    if len(data) < count:
        raise EOFError
    return data


def _length(value: int) -> bytes:
    digits = bytearray()
    while True:
        value, digit = divmod(value, 128)
        digits.append(digit | (128 if value else 0))
        if not value:
            return bytes(digits)


def _ack(header: int, packet_id: bytes, rest: bytes) -> bytes:
    return bytes([header]) + _length(2 + len(rest)) + packet_id + rest


def _take_text(body: bytes, at: int) -> tuple[str, int]:
    size = int.from_bytes(body[at : at + 2], "big")
    return body[at + 2 : at + 2 + size].decode(), at + 2 + size


def _skip_properties(body: bytes, at: int) -> int:
    length, shift = 0, 0
    while True:
        digit = body[at]
        at += 1
        length |= (digit & 127) << shift
        shift += 7
        if not digit & 128:
            return at + length


def _read_connect(body: bytes) -> Connect:
    _, at = _take_text(body, 0)
    level, flags = body[at], body[at + 1]
    at += 4
    if level == 5:
        at = _skip_properties(body, at)
    client_id, _ = _take_text(body, at)
    return Connect(level, client_id, flags >> 3 & 3, bool(flags & 0x20))


def _read_publish(header: int, body: bytes, connection: int, is_5: bool) -> tuple[Publish, bytes]:
    qos = header >> 1 & 3
    topic, at = _take_text(body, 0)
    packet_id = body[at : at + 2] if qos else b""
    at += len(packet_id)
    if is_5:
        at = _skip_properties(body, at)
    return Publish(connection, topic, body[at:], qos, bool(header & 1)), packet_id
