"""The OPC UA server as a process: its start and end, restarts, the broker's absence, and messages that are none."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client
from bridge_parts import verdict
from mosquitto import Broker, free_port, wait_until
from opcua_parts import KEY, PATIENCE, PREFIX, ask, connected, make_keys, until, write_opcua
from page_parts import Publisher, Station
from service_process import Launch

from edge_inspect.edge.opcua.part_history import PartHistory
from edge_inspect.edge.opcua.part_queue import HOLD_S


async def sequence(client: Client, key: str = KEY) -> int:
    node = client.get_node(f"ns=1;s={key}.Inspection.Sequence")
    found = await node.read_data_value(raise_on_bad_status=False)
    return int(found.Value.Value or 0)


def test_restarts_lose_no_part_and_show_none_twice(launch: Launch, broker: Broker, tmp_path: Path) -> None:
    config, settings = write_opcua(tmp_path, broker.port)
    publisher = Publisher(broker.port)
    station = Station(publisher, KEY)
    station.begin()
    first = launch(config, "opcua")
    wait_until(lambda: f"{KEY} is shown" in first.said(), PATIENCE, "it starts")
    station.inspect(3)
    keys = make_keys(tmp_path)

    async def see(client: Client) -> None:
        await until(lambda: is_at(client, station.sequence), "the newest part is shown")

    async def listen() -> None:
        # A client is no reason to stay.
        async with connected(settings, keys) as client:
            await until(lambda: is_at(client, 3))
            await asyncio.to_thread(first.end, signal.SIGTERM)

    with contextlib.suppress(Exception):  # the client's goodbye is not heard any more
        asyncio.run(listen())
    assert first.wait(PATIENCE) == 0
    station.inspect(4)
    again = launch(config, "opcua")
    wait_until(lambda: f"{KEY} is shown" in again.said(), PATIENCE, "it starts again")
    station.inspect(2)
    ask(settings, keys, see)

    async def count(client: Client) -> int:
        return len(await client.get_node(f"{PREFIX}.Inspection.Score").read_raw_history(None, None, numvalues=100))

    assert ask(settings, keys, count) == 9
    assert again.end(signal.SIGINT) == 0
    assert "Traceback" not in first.said() + again.said()
    publisher.close()


def test_a_part_that_waits_for_its_regions_at_the_end_is_not_lost(
    launch: Launch, broker: Broker, tmp_path: Path
) -> None:
    config, settings = write_opcua(tmp_path, broker.port)
    publisher = Publisher(broker.port)
    station = Station(publisher, KEY)
    station.begin()
    process = launch(config, "opcua")
    wait_until(lambda: f"{KEY} is shown" in process.said(), PATIENCE, "it starts")
    alone = verdict(1, ok=False)
    station.say(alone, "verdict")
    time.sleep(HOLD_S / 3)  # it has come, and waits
    assert process.end() == 0
    publisher.close()
    with closing(PartHistory(settings.data / "history.db", settings.history)) as history:
        kept = history.newest(KEY)
    assert kept is not None and kept.id == alone.id and "Traceback" not in process.said()


async def is_at(client: Client, wanted: int) -> bool:
    return await sequence(client) == wanted


def test_without_a_broker_it_starts_and_finds_it_later(launch: Launch, make_broker: Any, tmp_path: Path) -> None:
    broker: Broker = make_broker()
    config, settings = write_opcua(tmp_path, broker.port)
    process = launch(config, "opcua")
    wait_until(lambda: "serving OPC UA on" in process.said(), PATIENCE, "it starts")
    broker.start()
    # What was published before its first connection is not kept for it.
    wait_until(lambda: "connected to broker" in process.said(), PATIENCE, "it finds the broker")
    publisher = Publisher(broker.port)
    # Messages that are none, and names that are impossible, do no harm.
    for topic, payload in {
        "edge-inspect/v1/plant/line1/a/verdict": b"{",
        "edge-inspect/v1/plant/line1/a/health": b'{"at": "yesterday"}',
        "edge-inspect/v1/plant/line1/../status": b"{}",
        f"edge-inspect/v1/{'x' * 65}/line1/a/status": b"{}",
    }.items():
        publisher.send(topic, payload)
    for key in (KEY, "plant/line1/a.Inspection", "plant/line 2/ü"):
        station = Station(publisher, key)
        station.begin()
        station.inspect(1)
    wait_until(lambda: "plant/line 2/ü is shown" in process.said(), PATIENCE, "the stations are shown")

    async def work(client: Client) -> None:
        for key in (KEY, "plant/line 2/ü"):
            await until(lambda key=key: has_one(client, key), key)

    ask(settings, make_keys(tmp_path), work)
    publisher.close()
    said = process.said()
    assert "a message cannot be read and is skipped" in said
    assert "plant/line1/a.Inspection is not shown, because its name is that of another station's node" in said
    assert process.end() == 0 and "Traceback" not in process.said()


async def has_one(client: Client, key: str) -> bool:
    return await sequence(client, key) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_while_it_loads_the_types(launch: Launch, tmp_path: Path, number: signal.Signals) -> None:
    config, settings = write_opcua(tmp_path, free_port())
    process = launch(config, "opcua")
    wait_until(lambda: (settings.data / "history.db").exists(), PATIENCE, "it starts")
    time.sleep(0.3)
    assert process.end(number) == 0
    assert "serving OPC UA on" not in process.said() and "Traceback" not in process.said()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"listen": {"port": "taken"}}, "listen: cannot listen on 127.0.0.1:"),
        ({"listen": {"certificate": "a.pem", "key": "b.pem"}}, "listen.certificate: a.pem cannot be read"),
        ({"trusted": "nowhere"}, "trusted: nowhere cannot be read"),
        ({"data": "opcua.yaml/data"}, "data: opcua.yaml/data cannot be created or written: Not a directory; create it"),
    ],
)
def test_a_mistake_is_a_sentence_and_status_2(
    launch: Launch, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        if settings.get("listen") == {"port": "taken"}:
            settings = {"listen": {"port": taken.getsockname()[1]}}
        config, _ = write_opcua(tmp_path, free_port(), **settings)
        process = launch(config, "opcua")
        assert process.wait(PATIENCE) == 2
    assert said in process.said() and "Traceback" not in process.said()
