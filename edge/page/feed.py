"""The page's connection to the broker: it receives the messages and pictures of all stations."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import threading
from collections.abc import Callable
from typing import Any

from edge_inspect.edge.configuration.station_patterns import StationFilter
from edge_inspect.edge.contract.ids import UUID7_PATTERN_READ
from edge_inspect.edge.contract.received_messages import KINDS, UnreadableMessage, read_message
from edge_inspect.edge.contract.topics import TOPIC_ROOT
from edge_inspect.edge.identity import box_id
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.connection import Receiving
from edge_inspect.edge.mqtt.pattern_session import PatternSession
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.session import Session
from edge_inspect.edge.page.label_publisher import LabelPublisher
from edge_inspect.edge.page.line_view import Received
from edge_inspect.edge.page.pictures import LARGEST_BYTES, PictureKind, PictureName, is_picture
from edge_inspect.edge.page.settings import PageSettings
from edge_inspect.edge.text import clean
from edge_inspect.edge.threads import wait_for_end

log = logging.getLogger(__name__)

KEPT_S = 3600
"""Seconds for which the broker keeps verdicts for the page while it is not connected."""
_TURN_S = 0.2
MOST_WAITING = 2000
"""Largest number of messages that wait for the event loop. If it is further behind, the broker has to wait."""
_PAUSE_S = 0.01
_PICTURES: dict[str, PictureKind] = {"image": "picture", "map": "map"}

Deliver = Callable[[list[Received]], None]


def topics(settings: PageSettings) -> list[str]:
    """Return the topics to which the page subscribes."""
    levels = (*KINDS, *(f"{kind}/+" for kind in _PICTURES))
    return [f"{TOPIC_ROOT}/{pattern}/{level}" for pattern in settings.stations for level in levels]


class Feed:
    """Receives messages in a thread of its own until `close`, and reconnects whenever that is needed.

    Args:
        settings: The whole configuration of the page.
        loop: Event loop in which `deliver` and `connected` are called.
        deliver: Called with what has come, in order.
        connected: Called when the connection was made, or lost.
        labels: Publishes labels over the connection.
    """

    def __init__(
        self,
        settings: PageSettings,
        loop: asyncio.AbstractEventLoop,
        deliver: Deliver,
        connected: Callable[[bool], None],
        labels: LabelPublisher,
    ) -> None:
        self._labels = labels
        self._settings, self._loop = settings, loop
        self._deliver, self._connected = deliver, connected
        self._client_id = settings.mqtt.client_id or f"edge-inspect-page-{settings.name}-{box_id()}"
        self._reconnection = Reconnection(settings.mqtt, log, "Browsers are told that what they see is old")
        self._filter = StationFilter(settings.stations, "shown")
        self._waiting: list[Received] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def close(self, seconds: float = 1.0) -> None:
        """End the connection.

        Args:
            seconds: Longest time to wait for its end.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake_in.close()
        wait_for_end(self._thread, seconds)

    def _run(self) -> None:
        while not self._closing.is_set():
            pause = self._reconnection.run_once(self._connect, self._serve)
            self._call(self._connected, False)
            self._closing.wait(pause)
        self._wake_out.close()

    def _connect(self, terms: Terms) -> Session:
        receiving = Receiving(largest=LARGEST_BYTES["picture"] + 2**12, kept_s=KEPT_S)
        return PatternSession(
            self._client_id, terms, self._settings.mqtt, topics(self._settings), self._receive, receiving
        )

    def _serve(self, session: Session) -> bool:
        said = False
        while not self._closing.is_set():
            session.turn(self._wake_out, _TURN_S)
            if session.subscribed and not said:
                said = True
                self._reconnection.say_connected(session)
                self._call(self._connected, True)
                self._labels.begin()
            if said:
                self._labels.turn(session)
        return True

    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:
        levels = topic.removeprefix(f"{TOPIC_ROOT}/").split("/")
        key = "/".join(levels[:3])
        if not self._filter.follows(key):
            return
        try:
            received = self._read(key, levels[3:], payload, retained)
        except UnreadableMessage as error:
            log.warning("%s: a message cannot be read and is skipped: %s", clean(topic), error)
            return
        except Exception:
            # The broker would send the message again with every new connection, so a bug must not end this one.
            log.exception("%s: a message is skipped because of an error of the page", clean(topic))
            return
        if received is not None:
            self._hand_over(received)

    def _read(self, key: str, levels: list[str], payload: bytes, retained: bool) -> Received | None:
        """Return a message or picture of a station; `None` if it is of no use here.

        Raises:
            UnreadableMessage: Its content is not what its topic says.
        """
        if len(levels) == 1 and levels[0] in KINDS:
            # An empty retained message deletes the one that the broker has.
            return Received(key, read_message(levels[0], payload), retained) if payload else None
        if len(levels) != 2 or levels[0] not in _PICTURES or not re.fullmatch(UUID7_PATTERN_READ, levels[1]):
            return None
        kind = _PICTURES[levels[0]]
        if not is_picture(kind, payload):
            raise UnreadableMessage(f"it is no {'JPEG' if kind == 'picture' else 'PNG'}, or too large")
        return Received(key, payload, retained, PictureName(key, levels[1].lower(), kind))

    def _hand_over(self, received: Received) -> None:
        while len(self._waiting) >= MOST_WAITING and not self._closing.wait(_PAUSE_S):
            pass
        with self._lock:
            self._waiting.append(received)
            is_first = len(self._waiting) == 1
        if is_first:
            self._call(self._take_waiting)

    def _take_waiting(self) -> None:
        with self._lock:
            taken, self._waiting = self._waiting, []
        self._deliver(taken)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in the event loop, unless that has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)
