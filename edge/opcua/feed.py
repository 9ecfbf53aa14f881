"""The server's connection to the broker: it receives the messages of all stations."""

from __future__ import annotations

import asyncio
import contextlib
from typing import NamedTuple

from edge_inspect.edge.contract.topics import TOPIC_ROOT
from edge_inspect.edge.identity import box_id
from edge_inspect.edge.mqtt.connection import Receiving
from edge_inspect.edge.mqtt.loop_feed import KEPT_S, Following, LoopFeed
from edge_inspect.edge.opcua.received_messages import MODELS, ReceivedMessage, read_message
from edge_inspect.edge.opcua.settings import OpcuaSettings


class Received(NamedTuple):
    """A message of a station.

    Attributes:
        station: Key of the station: site/line/station.
        message: The message.
        retained: Whether the broker had retained it, so that it may be old.
    """

    station: str
    message: ReceivedMessage
    retained: bool


def topics(settings: OpcuaSettings) -> list[str]:
    """Return the topics to which the server subscribes."""
    return [f"{TOPIC_ROOT}/{pattern}/{level}" for pattern in settings.stations for level in MODELS]


class Feed(LoopFeed[Received]):
    """Receives the messages of the stations. The event loop, in which it is made, waits for them and takes them.

    Args:
        settings: The whole configuration of the server.

    Attributes:
        connected: Whether the broker has confirmed the subscriptions.
    """

    def __init__(self, settings: OpcuaSettings) -> None:
        self._come = asyncio.Event()
        self.connected = False
        following = Following(
            program="OPC UA server",
            client_id=settings.mqtt.client_id or f"edge-inspect-opcua-{settings.name}-{box_id()}",
            stations=settings.stations,
            topics=topics(settings),
            receiving=Receiving(kept_s=KEPT_S),
            meanwhile="All values are marked as uncertain",
        )
        super().__init__(settings.mqtt, following, asyncio.get_running_loop())

    async def wait(self, seconds: float) -> None:
        """Wait until messages have come, or the connection was made or lost, but no longer than `seconds`."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._come.wait(), seconds)
        self._come.clear()

    def _read(self, key: str, levels: list[str], payload: bytes, retained: bool) -> Received | None:
        # An empty retained message deletes the one that the broker has.
        if len(levels) != 1 or levels[0] not in MODELS or not payload:
            return None
        return Received(key, read_message(levels[0], payload), retained)

    def _arrived(self) -> None:
        self._come.set()

    def _set_connected(self, connected: bool) -> None:
        self.connected = connected
        self._come.set()
