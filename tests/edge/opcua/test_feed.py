"""The server's connection to a real broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from mosquitto import Broker
from opcua_parts import KEY, PATIENCE, until, write_opcua
from page_parts import Publisher, Station

from edge_inspect.edge.opcua.feed import Feed, Received
from edge_inspect.edge.opcua.settings import OpcuaSettings


async def follow(settings: OpcuaSettings, count: int = 0) -> list[Received]:
    """Connects, and returns what has come when that is `count` messages."""
    feed, received = Feed(settings), list[Received]()

    async def has_come() -> bool:
        received.extend(feed.take())
        return feed.connected and len(received) >= count

    try:
        await until(has_come)
    finally:
        await asyncio.to_thread(feed.close, PATIENCE)
    return received


def test_a_station_that_is_no_longer_configured_does_not_come_from_the_kept_session(
    broker: Broker, tmp_path: Path
) -> None:
    _, both = write_opcua(tmp_path, broker.port, stations=[KEY, "plant/line1/b"])
    asyncio.run(follow(both))
    publisher = Publisher(broker.port)
    Station(publisher, "plant/line1/b").inspect()
    Station(publisher).inspect()
    _, one = write_opcua(tmp_path, broker.port, stations=[KEY])
    assert [each.station for each in asyncio.run(follow(one, 1))] == [KEY]
    publisher.close()


def test_an_impossible_name_is_logged_once(broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, settings = write_opcua(tmp_path, broker.port)
    asyncio.run(follow(settings))
    publisher = Publisher(broker.port)
    for _ in range(3):
        publisher.send(f"edge-inspect/v1/{'x' * 65}/line1/a/verdict", b"{}")
    Station(publisher).inspect()
    publisher.close()
    assert [each.station for each in asyncio.run(follow(settings, 1))] == [KEY]
    [line] = [each for each in caplog.messages if "impossible name" in each]
    assert "\n" not in line
