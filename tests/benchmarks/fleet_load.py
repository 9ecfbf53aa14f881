"""Clients of fleet.py on raw sockets: many stations in one process, and a subscriber that measures latency.

Both are plain MQTT 3.1.1 and do as little as possible, because they share the machine with the broker that is measured.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
import time
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any, NamedTuple

from real_line import BAD, DEFECT, HEALTH, STATUS, VERDICT

from edge_inspect.edge.contract.fields import format_time, utc_now
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Message
from edge_inspect.edge.contract.topics import Topics

HEALTH_EVERY_S = 10.0
SITE = "berlin"
USER = "bridge-berlin"
_TICK_S = 0.005
_STAMP = b'"part_id":"'
_STAMP_SIZE = 17


class Load(NamedTuple):
    """What the stations do: rate in parts a second of each station."""

    port: int
    stations: int
    rate: float
    warm_s: float
    seconds: float


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _packet(kind: int, body: bytes) -> bytes:
    size, length = bytearray(), len(body)
    while True:
        size.append(length & 0x7F | (0x80 if length > 0x7F else 0))
        length >>= 7
        if not length:
            return bytes([kind]) + bytes(size) + body


def connect_packet(client_id: str, user: str, will: tuple[str, bytes] | None = None) -> bytes:
    """Return CONNECT with a clean session; the password is the user's name."""
    flags = 0xC2 | (0x2C if will else 0)
    middle = _text(will[0]) + struct.pack(">H", len(will[1])) + will[1] if will else b""
    return _packet(0x10, _text("MQTT") + bytes([4, flags, 0, 0]) + _text(client_id) + middle + _text(user) * 2)


class Template:
    """A message of which only id, sequence number, times and part id change; the rest is made once."""

    def __init__(self, message: Message) -> None:
        sequence, moment = 987_654_321, STATUS.at  # type: ignore[attr-defined]
        marks = {"id": "019f2b1c-7e40-7000-8000-00000000ffff", "sequence": sequence}
        times = {name: moment for name in ("at", "captured_at", "decided_at") if name in type(message).model_fields}
        part = {"part_id": "0" * _STAMP_SIZE} if "part_id" in type(message).model_fields else {}
        text = message.model_copy(update={**marks, **times, **part}).to_json().decode().replace("%", "%%")
        self._text = text.replace(marks["id"], "%(id)s").replace(str(sequence), "%(sequence)d")  # type: ignore[arg-type]
        self._text = self._text.replace(format_time(moment), "%(at)s").replace("0" * _STAMP_SIZE, "%(stamp)s")

    def fill(self, sequence: int, identity: str, at: str) -> bytes:
        """Return the payload; the part id is the present time, from which the subscriber computes the latency."""
        stamp = f"{time.time():.6f}"[:_STAMP_SIZE]
        return (self._text % {"id": identity, "sequence": sequence, "at": at, "stamp": stamp}).encode()


class Station(asyncio.Protocol):
    """One connection of one station."""

    templates: dict[str, Template]

    def __init__(self, number: int) -> None:
        self.topics = Topics(SITE, f"line{number // 50}", f"station{number}")
        self.sequence, self.sent, self.acknowledged, self.bytes = 0, 0, 0, 0
        self.ended = False
        self._packet_ids = itertools.cycle(range(1, 65_536))

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        will = self.templates["status"].fill(0, uuid7(), format_time(utc_now()))
        transport.write(connect_packet(f"fleet-{self.topics.station}", USER, (self.topics.status, will)))
        self.publish("status", self.topics.status, 0x33)
        self.health()

    def data_received(self, data: bytes) -> None:
        # CONNACK and PUBACK have four bytes each, and nothing else comes.
        self.acknowledged += len(data) // 4

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True

    def publish(self, kind: str, topic: str, header: int, identity: str = "") -> None:
        payload = self.templates[kind].fill(self.sequence, identity or uuid7(), format_time(utc_now()))
        packet_id = struct.pack(">H", next(self._packet_ids)) if header & 6 else b""
        packet = _packet(header, _text(topic) + packet_id + payload)
        self.transport.write(packet)
        self.sent += 1
        self.bytes += len(packet)

    def part(self) -> None:
        """Publish the verdict of a part, and the defect of every fiftieth."""
        self.sequence += 1
        identity = uuid7()
        self.publish("verdict", self.topics.verdict, 0x32, identity)
        if self.sequence % BAD == 0:
            self.publish("defect", self.topics.defect, 0x32, identity)

    def health(self) -> None:
        """Publish health."""
        self.publish("health", self.topics.health, 0x31)


async def _run(load: Load, results: Queue[dict[str, Any]]) -> None:
    loop = asyncio.get_running_loop()
    Station.templates = {
        kind: Template(message)  # type: ignore[arg-type]
        for kind, message in (("verdict", VERDICT), ("defect", DEFECT), ("health", HEALTH), ("status", STATUS))
    }
    stations = []
    for number in range(load.stations):
        _, station = await loop.create_connection(lambda n=number: Station(n), "127.0.0.1", load.port)  # type: ignore[misc]
        stations.append(station)
    results.put({"connected": len(stations)})
    begun, done, beats, behind = time.monotonic(), 0, 0, 0.0
    begins, ends = begun + load.warm_s, begun + load.warm_s + load.seconds
    before: tuple[int, int, int] | None = None
    while (now := time.monotonic()) < ends:
        if before is None and now >= begins:
            before = _totals(stations)
        # All stations take their turns, evenly in time.
        due = int((now - begun) * load.rate * load.stations)
        behind = max(behind, (due - done) / (load.rate * load.stations))
        for number in range(done, due):
            stations[number % load.stations].part()
        done = due
        beats_due = int((now - begun) * load.stations / HEALTH_EVERY_S)
        for number in range(beats, beats_due):
            stations[number % load.stations].health()
        beats = beats_due
        await asyncio.sleep(_TICK_S)
    assert before is not None
    after = _totals(stations)
    for _ in range(3000):  # until all is acknowledged, at most 30 s
        if sum(station.sequence for station in stations) <= sum(station.acknowledged for station in stations):
            break
        await asyncio.sleep(0.01)
    results.put({
        "parts_a_s": (after[0] - before[0]) / load.seconds,
        "messages_a_s": (after[1] - before[1]) / load.seconds,
        "bytes_a_s": (after[2] - before[2]) / load.seconds,
        "parts": sum(station.sequence for station in stations),
        "lost_connections": sum(station.ended for station in stations),
        "generator_behind_s": behind,
    })  # fmt: skip


def _totals(stations: list[Station]) -> tuple[int, int, int]:
    return (
        sum(station.sequence for station in stations),
        sum(station.sent for station in stations),
        sum(station.bytes for station in stations),
    )


def run_stations(load: Load, results: Queue[dict[str, Any]]) -> None:
    """Run all stations; put the number of connections, and at the end what was sent, into the queue."""
    asyncio.run(_run(load, results))


def run_subscriber(load: Load, ended: Event, results: Queue[dict[str, Any]]) -> None:
    """Receive verdicts until `ended` is set and none comes any more; put their latencies, in ms, into the queue."""
    connection = socket.create_connection(("127.0.0.1", load.port))
    connection.sendall(connect_packet("fleet-latency", "archive"))
    connection.sendall(_packet(0x82, b"\0\1" + _text("edge-inspect/v1/+/+/+/verdict") + b"\1"))
    results.put({"subscribed": True})
    latencies: list[float] = []
    received, data = 0, b""
    connection.settimeout(5)
    while True:
        try:
            more = connection.recv(1 << 18)
        except TimeoutError:
            if ended.is_set():
                break
            continue
        if not more:
            break
        now, data, at, answers = time.time(), data + more, 0, []
        while (read := _next_packet(data, at)) is not None:
            start, end = read
            if data[at] & 0xF0 == 0x30:
                received += 1
                length = data[start] << 8 | data[start + 1]
                answers.append(b"\x40\x02" + data[start + 2 + length : start + 4 + length])
                stamp = data.index(_STAMP, start, end) + len(_STAMP)
                latencies.append((now - float(data[stamp : stamp + _STAMP_SIZE])) * 1000)
            at = end
        data = data[at:]
        connection.sendall(b"".join(answers))
    results.put({"received": received, "latencies": latencies})


def _next_packet(data: bytes, at: int) -> tuple[int, int] | None:
    """Return where the body of the packet at `at` begins and ends; `None` if it has not arrived completely."""
    length = shift = 0
    for place in range(at + 1, min(at + 5, len(data))):
        length |= (data[place] & 0x7F) << shift
        shift += 7
        if not data[place] & 0x80:
            end = place + 1 + length
            return (place + 1, end) if end <= len(data) else None
    return None


if __name__ == "__main__":
    print(json.dumps({kind: len(message.to_json()) for kind, message in  # type: ignore[attr-defined]
        (("verdict", VERDICT), ("defect", DEFECT), ("health", HEALTH), ("status", STATUS))}))  # fmt: skip
