"""What tests of the bridge share: a station that publishes and sends again, a PLC, and the bridge itself."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mosquitto import free_port
from pymodbus.client import ModbusTcpClient
from station_parts import BUNDLE, TOPICS, health, mqtt, status

from edge_inspect.edge.bridge.modbus_server import ModbusServer
from edge_inspect.edge.bridge.received_messages import ReceivedPart, ReceivedReply
from edge_inspect.edge.bridge.registers import (
    BLOCK,
    FLAGS,
    NEWEST,
    PART_FIELDS,
    RECIPE_ERRORS,
    RECIPE_REQUESTED,
    RECIPE_STATES,
    RING,
    SLOT,
    SLOTS,
    STATION_FIELDS,
    RegisterField,
)
from edge_inspect.edge.bridge.settings import BridgeSettings
from edge_inspect.edge.bridge.station import BridgedStation, SavedStation
from edge_inspect.edge.contract.commands import Resend, ReturnAddress, parse_command
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.messages import Defect, FrameSize, Region, Verdict
from edge_inspect.edge.contract.replies import Reply, SequenceRange
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.outbox import Outbox, Outgoing

KINDS = {"u16": "UINT16", "u32": "UINT32", "f32": "FLOAT32", "text": "STRING"}


def verdict(sequence: int, *, ok: bool = True, boot_id: str = "b", part_id: str | None = None) -> Verdict:
    now = utc_now()
    return Verdict(
        boot_id=boot_id,
        sequence=sequence,
        part_id=part_id,
        captured_at=now,
        decided_at=now,
        ok=ok,
        score=0.25 if ok else 0.75,
        threshold=0.5,
        bundle=BUNDLE,
        precision="int8",
        engine="none",
        latency_ms=1.0,
        frame=FrameSize(width=640, height=480),
    )


def defect(of: Verdict, *areas: int) -> Defect:
    regions = tuple(Region(bbox=(1, 2, 3, 4), area_px=area, peak=0.8, centroid=(1.0, 2.0)) for area in areas)
    return Defect.of(of, regions)


def read(message: Verdict) -> ReceivedPart:
    return ReceivedPart.model_validate_json(message.to_json())


def part(sequence: int, *, ok: bool = True, boot_id: str = "b", regions: tuple[int, ...] | None = ()) -> ReceivedPart:
    """A part as read; a rejected one without its defect where `regions` is None."""
    made = verdict(sequence, ok=ok, boot_id=boot_id)
    return read(made if ok or regions is None else defect(made, *regions))


class Line:
    """A station without camera and engine: a real outbox and publisher; carries out `resend` as a station does."""

    boot_id = "b"

    def __init__(self, port: int, outbox: Outbox, topics: Topics = TOPICS, **settings: Any) -> None:
        self.outbox, self.topics = outbox, topics
        self.asked: list[Resend] = []
        now = status().model_copy(update={"boot_id": self.boot_id})
        self.publisher = Publisher(topics, outbox, mqtt(port, **settings), now, self._on_command)

    def put(self, count: int, *, bad: int = 0, part_id: str | None = None) -> None:
        """Put parts; every `bad`-th is a defect of 100 px."""
        for _ in range(count):
            self.outbox.put(self.topics.station, lambda sequence: self._messages(sequence, bad, part_id))

    def health(self) -> None:
        sequence = self.outbox.sequence(self.topics.station)
        self.publisher.publish_health(health().model_copy(update={"sequence": sequence}))

    def _messages(self, sequence: int, bad: int, part_id: str | None) -> list[Outgoing]:
        made = verdict(sequence, ok=not bad or sequence % bad != 0, part_id=part_id)
        found = [Outgoing(self.topics.verdict, made.to_json(), "verdict")]
        if not made.ok:
            found.append(Outgoing(self.topics.defect, defect(made, 100).to_json(), "defect"))
        return found

    def _on_command(self, payload: bytes, retained: bool, back: ReturnAddress | None) -> None:
        command = parse_command(payload)
        assert isinstance(command, Resend) and not retained
        self.asked.append(command)
        kept = self.outbox.history_range(self.topics.station) or (1, 0)
        first, last = max(command.from_sequence, kept[0]), min(command.to_sequence or kept[1], kept[1])
        done = first <= last and self.publisher.resend(first, last)
        self.publisher.reply(
            Reply(
                boot_id=self.boot_id,
                sequence=self.outbox.sequence(self.topics.station),
                command_id=command.id,
                command="resend",
                at=utc_now(),
                done=done,
                refusal=None if done else "impossible",
                resend=SequenceRange(first=first, last=last) if done else None,
            )
        )


class Plc:
    """Reads a station's registers by name, as a PLC would, and deals with its parts one after another."""

    def __init__(self, port: int, number: int = 0, word_order: Any = "big") -> None:
        self.client = ModbusTcpClient("127.0.0.1", port=port, timeout=20)
        self._base, self._order = number * BLOCK, word_order
        self.dealt_with = 0
        self.sequences: list[int] = []
        self.late: list[int] = []

    def read(self) -> dict[str, Any]:
        """The station's values and those of its newest part: one request."""
        registers = self._read(0, NEWEST + SLOT)
        return {**self._values(STATION_FIELDS, registers), **self._values(PART_FIELDS, registers[NEWEST:])}

    def recipe(self) -> tuple[int, int, str, str]:
        """The recipe that was asked for, the one in force, the state and the error."""
        requested, active, state, error = self._read(RECIPE_REQUESTED, 4)
        return requested, active, RECIPE_STATES[state], list(RECIPE_ERRORS)[error]

    def flags(self) -> set[str]:
        value = self.read()["flags"]
        return {name for at, name in enumerate(FLAGS) if value >> at & 1}

    def slots(self) -> list[dict[str, Any]]:
        """The ring, two slots a request."""
        registers = [word for at in range(0, RING * SLOT, 2 * SLOT) for word in self._read(SLOTS + at, 2 * SLOT)]
        return [self._values(PART_FIELDS, registers[at : at + SLOT]) for at in range(0, len(registers), SLOT)]

    def take(self, *, acknowledge: bool = False) -> int:
        """Deal with the parts that are new; returns how many were missed because the ring went over them."""
        parts, missed = self.read()["parts"], 0
        slots = self.slots() if parts > self.dealt_with else []
        for number in range(self.dealt_with + 1, parts + 1):
            found = slots[number % RING]
            if found["number"] != number:
                missed += 1
                continue
            self.sequences.append(found["sequence"])
            if found["part_flags"] & 1:
                self.late.append(found["sequence"])
        self.dealt_with = parts
        if acknowledge:
            self.client.write_register(self._base + 22, parts % 0x10000)
        return missed

    def _read(self, offset: int, count: int) -> list[int]:
        if not self.client.connected:
            self.client.connect()
        answer = self.client.read_holding_registers(self._base + offset, count=count)
        assert not answer.isError(), answer
        return answer.registers

    def _values(self, fields: tuple[RegisterField, ...], registers: list[int]) -> dict[str, Any]:
        kinds = self.client.DATATYPE
        return {
            field.name: self.client.convert_from_registers(
                registers[field.offset : field.offset + field.registers],
                getattr(kinds, KINDS[field.kind]),
                word_order="big" if field.kind == "text" else self._order,
            )
            for field in fields
        }


def settings(broker: int, folder: Path, stations: int | list[Any] = 1, **more: Any) -> BridgeSettings:
    """The bridge's, for the stations a, b, c, ... of the tests' line, or for those that are given."""
    modbus = {"port": free_port(), **more.pop("modbus", {})}
    fields = {
        "stations": stations
        if isinstance(stations, list)
        else [{"site": "plant", "line": "line1", "station": "abcdefgh"[i]} for i in range(stations)],
        "mqtt": {"host": "127.0.0.1", "port": broker, "backoff_cap_s": 0.2, **more.pop("mqtt", {})},
        "state": str(folder / "state.json"),
        **more,
    }
    return BridgeSettings.model_validate_json(json.dumps({**fields, "modbus": modbus}))


@contextlib.contextmanager
def serving(folder: Path, **modbus: Any) -> Iterator[tuple[list[BridgedStation], int]]:
    """Two stations shown over Modbus, without a broker; gives them and the port."""
    chosen = settings(1883, folder, stations=2, modbus=modbus)
    stations = [
        BridgedStation(Topics(name.site, name.line, name.station), chosen, SavedStation(), 1)
        for name in chosen.stations
    ]
    server = ModbusServer(chosen.modbus, stations)
    try:
        yield stations, chosen.modbus.port
    finally:
        server.close()


def put(station: BridgedStation, *sequences: int) -> None:
    """Have a station hear of parts; retained messages, so that its registers do not change with time."""
    for sequence in sequences:
        station.receive(station.topics.verdict, verdict(sequence, part_id="SN-1").to_json(), 0.0, retained=True)


def request(transaction: int, pdu: bytes, unit: int = 1, protocol: int = 0) -> bytes:
    """A frame of Modbus TCP."""
    return struct.pack(">HHHB", transaction, protocol, 1 + len(pdu), unit) + pdu


def reading(address: int, count: int, function: int = 3) -> bytes:
    """A request to read registers: function code and data."""
    return struct.pack(">BHH", function, address, count)


class RawPlc:
    """A client that sends bytes as they are, and takes the answers apart."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self.socket.makefile("rb")

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(frames))

    def answer(self) -> tuple[int, int, bytes] | None:
        """The next answer's transaction, unit and PDU; None: the server has hung up."""
        if not (header := self._stream.read(7)):
            return None
        transaction, protocol, length, unit = struct.unpack(">HHHB", header)
        assert protocol == 0 and 3 <= length <= 254
        return transaction, unit, self._stream.read(length - 1)

    def end(self) -> None:
        """Say that no more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)

    def rest(self) -> bytes:
        """All that still comes until the server hangs up."""
        return self._stream.read()

    def ask(self, pdu: bytes) -> bytes:
        """Answer to one request."""
        self.send(request(7, pdu))
        found = self.answer()
        assert found is not None and found[:2] == (7, 1)
        return found[2]

    def close(self) -> None:
        self._stream.close()
        self.socket.close()


class Beating(threading.Thread):
    """Health of a line, five times a second, until `close`."""

    def __init__(self, line: Line) -> None:
        super().__init__(daemon=True)
        self._line, self._stop_it = line, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stop_it.wait(0.2):
            self._line.health()

    def close(self) -> None:
        self._stop_it.set()
        self.join()


def resend_reply(command: bytes, **fields: Any) -> ReceivedReply:
    """The answer to a command, as the bridge reads it."""
    done = {"done": "refusal" not in fields, "command_id": json.loads(command)["id"]}
    return ReceivedReply.model_validate_json(json.dumps({**done, **fields}))
