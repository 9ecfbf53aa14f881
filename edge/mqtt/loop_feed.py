"""The connection of a program that shows many stations from an event loop: a thread receives, the loop takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.configuration.station_patterns import StationFilter
from edge_inspect.edge.contract.received_messages import UnreadableMessage
from edge_inspect.edge.contract.topics import TOPIC_ROOT
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.connection import Receiving
from edge_inspect.edge.mqtt.pattern_session import PatternSession
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.session import Session
from edge_inspect.edge.text import clean
from edge_inspect.edge.threads import wait_for_end

log = logging.getLogger(__name__)

KEPT_S = 3600
"""Seconds for which the broker keeps verdicts for the program while it is not connected."""
MOST_WAITING = 2000
"""Largest number of messages that wait for the event loop. If it is further behind, the broker has to wait."""
_TURN_S = 0.2
_PAUSE_S = 0.01
Item = TypeVar("Item")


class Following(NamedTuple):
    """What a program follows, and how it is called.

    Attributes:
        program: The program, for the log: "page".
        client_id: Its MQTT client id.
        stations: The setting `stations`.
        topics: The topics to which it subscribes.
        receiving: Limits of what it receives.
        meanwhile: What a lost connection means for people, as a sentence without its full stop.
    """

    program: str
    client_id: str
    stations: list[str]
    topics: list[str]
    receiving: Receiving
    meanwhile: str


class LoopFeed(ABC, Generic[Item]):
    """Receives messages in a thread of its own until `close`, and reconnects whenever that is needed.

    The thread starts here, so a subclass sets its own attributes first.

    Args:
        mqtt: Settings of the connection.
        following: What is followed.
        loop: The event loop that takes the messages.
    """

    def __init__(self, mqtt: MqttSettings, following: Following, loop: asyncio.AbstractEventLoop) -> None:
        self._mqtt, self._following, self._loop = mqtt, following, loop
        self._filter = StationFilter(following.stations, "shown")
        self._reconnection = Reconnection(mqtt, log, following.meanwhile)
        self._waiting: list[Item] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    @abstractmethod
    def _read(self, key: str, levels: list[str], payload: bytes, retained: bool) -> Item | None:
        """Return a message of a station; `None` if it is of no use here. Called in the thread.

        Args:
            key: Key of the station.
            levels: Levels of the topic below the station.
            payload: The message.
            retained: Whether the broker had retained it, so that it may be old.

        Raises:
            UnreadableMessage: Its content is not what its topic says.
        """

    @abstractmethod
    def _arrived(self) -> None:
        """Note that messages have come, which `take` returns. Called in the event loop."""

    @abstractmethod
    def _set_connected(self, connected: bool) -> None:
        """Note that the connection was made or lost. Called in the event loop."""

    def _turn(self, session: Session, *, is_first: bool) -> None:  # noqa: B027 (a program that only receives does nothing here)
        """Use the connection beside receiving; called in the thread, again and again while it lasts."""

    def take(self) -> list[Item]:
        """Return the messages that have come since the last call, in order."""
        with self._lock:
            taken, self._waiting = self._waiting, []
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
            self._call(self._set_connected, False)
            self._closing.wait(pause)
        self._wake_out.close()

    def _connect(self, terms: Terms) -> Session:
        following = self._following
        return PatternSession(
            following.client_id, terms, self._mqtt, following.topics, self._receive, following.receiving
        )

    def _serve(self, session: Session) -> bool:
        said = False
        while not self._closing.is_set():
            session.turn(self._wake_out, _TURN_S)
            is_first = session.subscribed and not said
            if is_first:
                said = True
                self._reconnection.say_connected(session)
                self._call(self._set_connected, True)
            if said:
                self._turn(session, is_first=is_first)
        return True

    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:
        levels = topic.removeprefix(f"{TOPIC_ROOT}/").split("/")
        key = "/".join(levels[:3])
        if not self._filter.follows(key):
            return
        try:
            item = self._read(key, levels[3:], payload, retained)
        except UnreadableMessage as error:
            log.warning("%s: a message cannot be read and is skipped: %s", clean(topic), error)
            return
        except Exception:
            # The broker would send the message again with every new connection, so a bug must not end this one.
            program = self._following.program
            log.exception("%s: a message is skipped because of an error of the %s", clean(topic), program)
            return
        if item is not None:
            self._hand_over(item)

    def _hand_over(self, item: Item) -> None:
        while len(self._waiting) >= MOST_WAITING and not self._closing.wait(_PAUSE_S):
            pass
        with self._lock:
            self._waiting.append(item)
            is_first = len(self._waiting) == 1
        if is_first:
            self._call(self._arrived)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in the event loop, unless that has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)
