"""The stations serve clients while many messages are taken."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from opcua_parts import KEY, part, write_opcua

from edge_inspect.edge.opcua import stations as module
from edge_inspect.edge.opcua.access import Access
from edge_inspect.edge.opcua.feed import Received
from edge_inspect.edge.opcua.part_history import PartHistory
from edge_inspect.edge.opcua.received_messages import ReceivedPart
from edge_inspect.edge.opcua.secure_server import make_server
from edge_inspect.edge.opcua.stations import Stations
from edge_inspect.edge.opcua.vision_station import VisionStation
from edge_inspect.edge.page.audit import AuditLog
from edge_inspect.edge.page.command_sender import CommandSender


def test_clients_are_served_between_the_parts_of_a_backlog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, settings = write_opcua(tmp_path, 1)
    turns = 0
    turn_of_part: dict[int, int] = {}
    show_new = VisionStation.show_new

    async def show(station: VisionStation, shown: ReceivedPart) -> None:
        turn_of_part[shown.sequence] = turns
        await show_new(station, shown)

    async def serve() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def take() -> None:
        with (
            closing(AuditLog(tmp_path / "audit.jsonl")) as audit,
            closing(PartHistory(tmp_path / "history.db", settings.history)) as history,
        ):
            server = await make_server(settings, Access(settings))
            stations = Stations(server, history, CommandSender(settings.mqtt), audit, 10)
            await stations.load()
            clients = asyncio.create_task(serve())
            await stations.take([Received(KEY, part(each), retained=False) for each in range(1, 21)])
            clients.cancel()

    monkeypatch.setattr(VisionStation, "show_new", show)
    asyncio.run(take())
    assert sorted(turn_of_part) == list(range(1, 21))
    assert len(set(turn_of_part.values())) == len(turn_of_part)


def test_what_has_piled_up_when_the_server_ends_is_stored_though_there_is_no_time_to_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, settings = write_opcua(tmp_path, 1)
    shown: list[int] = []

    async def show(station: VisionStation, part: ReceivedPart) -> None:
        shown.append(part.sequence)

    async def finish() -> int:
        with (
            closing(AuditLog(tmp_path / "audit.jsonl")) as audit,
            closing(PartHistory(tmp_path / "history.db", settings.history)) as history,
        ):
            server = await make_server(settings, Access(settings))
            stations = Stations(server, history, CommandSender(settings.mqtt), audit, 10)
            await stations.load()
            await stations.finish([Received(KEY, part(each), retained=False) for each in range(1, 31)])
            return len(history.find(KEY, "", "", "", 0, 100))

    monkeypatch.setattr(VisionStation, "show_new", show)
    monkeypatch.setattr(module, "FINISH_S", 0.0)
    assert asyncio.run(finish()) == 30 and shown == []
