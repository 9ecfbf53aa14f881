"""The server's connection to the broker: it receives the messages of all stations."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from typing import NamedTuple

from edge_inspect.edge.configuration.station_patterns import StationFilter
from edge_inspect.edge.contract.received_messages import UnreadableMessage
from edge_inspect.edge.contract.topics import TOPIC_ROOT
from edge_inspect.edge.identity import box_id
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.connection import Receiving
from edge_inspect.edge.mqtt.pattern_session import PatternSession
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.session import Session
from edge_inspect.edge.opcua.received_messages import MODELS, ReceivedMessage, read_message
from edge_inspect.edge.opcua.settings import OpcuaSettings
from edge_inspect.edge.text import clean
from edge_inspect.edge.threads import wait_for_end

log = logging.getLogger(__name__)

KEPT_S = 3600
"""Seconds for which the broker keeps verdicts for the server while it is not connected."""
MOST_WAITING = 2000
"""Largest number of messages that wait for the event loop. If it is further behind, the broker has to wait."""
_TURN_S = 0.2
_PAUSE_S = 0.01


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


class Feed:
    """Receives messages in a thread of its own until `close`, and reconnects whenever that is needed.

    The event loop takes the messages with `wait` and `take`.

    Args:
        settings: The whole configuration of the server.

    Attributes:
        connected: Whether the broker has confirmed the subscriptions.
    """

    def __init__(self, settings: OpcuaSettings) -> None:
        self._settings, self._loop = settings, asyncio.get_running_loop()
        self._come = asyncio.Event()
        self.connected = False
        self._client_id = settings.mqtt.client_id or f"edge-inspect-opcua-{settings.name}-{box_id()}"
        self._reconnection = Reconnection(settings.mqtt, log, "All values are marked as uncertain")
        self._filter = StationFilter(settings.stations, "shown")
        self._waiting: list[Received] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    async def wait(self, seconds: float) -> None:
        """Wait until messages have come, or the connection was made or lost, but no longer than `seconds`."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._come.wait(), seconds)

    def take(self) -> list[Received]:
        """Return the messages that have come since the last call, in order."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        self._come.clear()
        return taken

    def close(self, seconds: float = 1.0) -> None:
        """End the connection; may be called twice.

        Args:
            seconds: Longest time to wait for its end.
        """
        if not self._closing.is_set():
            self._closing.set()
            self._wake_in.close()
            wait_for_end(self._thread, seconds)

    def _run(self) -> None:
        while not self._closing.is_set():
            pause = self._reconnection.run_once(self._connect, self._serve)
            self.connected = False
            self._wake()
            self._closing.wait(pause)
        self._wake_out.close()

    def _connect(self, terms: Terms) -> Session:
        return PatternSession(
            self._client_id,
            terms,
            self._settings.mqtt,
            topics(self._settings),
            self._receive,
            Receiving(kept_s=KEPT_S),
        )

    def _serve(self, session: Session) -> bool:
        said = False
        while not self._closing.is_set():
            session.turn(self._wake_out, _TURN_S)
            if session.subscribed and not said:
                said = True
                self._reconnection.say_connected(session)
                self.connected = True
                self._wake()
        return True

    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:
        levels = topic.removeprefix(f"{TOPIC_ROOT}/").split("/")
        # An empty retained message deletes the one that the broker has.
        if len(levels) != 4 or levels[3] not in MODELS or not payload:
            return
        station = "/".join(levels[:3])
        if not self._filter.follows(station):
            return
        try:
            received = Received(station, read_message(levels[3], payload), retained)
        except UnreadableMessage as error:
            log.warning("%s: a message cannot be read and is skipped: %s", clean(topic), error)
            return
        except Exception:
            # The broker would send the message again with every new connection, so a bug must not end this one.
            log.exception("%s: a message is skipped because of an error of this program", clean(topic))
            return
        self._hand_over(received)

    def _hand_over(self, received: Received) -> None:
        while len(self._waiting) >= MOST_WAITING and not self._closing.wait(_PAUSE_S):
            pass
        with self._lock:
            self._waiting.append(received)
            is_first = len(self._waiting) == 1
        if is_first:
            self._wake()

    def _wake(self) -> None:
        """Wake the event loop, unless that has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._come.set)
