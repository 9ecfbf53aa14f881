"""The archive's connection to the broker: it receives what stations and people say, and asks for missing parts."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import threading
import time

from edge_inspect.edge.archive.inbox import Inbox, Received
from edge_inspect.edge.archive.pictures import Picture, PictureStore
from edge_inspect.edge.archive.received_messages import MODELS
from edge_inspect.edge.archive.recorder import MOST_AT_ONCE, Recorder
from edge_inspect.edge.archive.settings import ArchiveSettings
from edge_inspect.edge.configuration.station_patterns import StationFilter
from edge_inspect.edge.contract.ids import UUID7_PATTERN
from edge_inspect.edge.contract.topics import TOPIC_ROOT
from edge_inspect.edge.identity import box_id
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.connection import Receiving
from edge_inspect.edge.mqtt.held_session import HeldSession
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.session import Session
from edge_inspect.edge.page.pictures import LARGEST_BYTES, PictureKind, is_picture
from edge_inspect.edge.threads import wait_for_end

log = logging.getLogger(__name__)

KEPT_S = 7 * 86_400
"""Seconds for which the broker keeps messages for the archive while it is not connected. Its queue may end earlier;
then the stations send again what is missing, as far as their history reaches."""
_TURN_S = 0.05
# Every message that is stored wakes the thread; the stations are looked at no more often than this.
_ASK_EVERY_S = 0.1
_PICTURES: dict[str, PictureKind] = {"image": "picture", "map": "map"}


def topics(settings: ArchiveSettings) -> list[str]:
    """Return the topics to which the archive subscribes."""
    levels = [*MODELS, *(f"{kind}/+" for kind in _PICTURES if settings.pictures is not None)]
    return [f"{TOPIC_ROOT}/{pattern}/{level}" for pattern in settings.stations for level in levels]


class ArchiveSubscriber:
    """Receives messages in a thread of its own until `close`, and reconnects whenever that is needed.

    The broker keeps the session, and a message is acknowledged when it is in the database.

    Args:
        settings: The whole configuration of the archive.
        inbox: Where the messages go.
        recorder: Knows the stations, and whether the database takes what comes.
        pictures: Where the pictures of parts go; `None`: nowhere.

    Attributes:
        connected: Whether the broker has confirmed every subscription.
        connections: Number of connections so far.
    """

    def __init__(
        self, settings: ArchiveSettings, inbox: Inbox, recorder: Recorder, pictures: PictureStore | None
    ) -> None:
        self._settings, self._inbox, self._recorder, self._pictures = settings, inbox, recorder, pictures
        self._client_id = settings.mqtt.client_id or f"edge-inspect-archive-{settings.name}-{box_id()}"
        self._reconnection = Reconnection(settings.mqtt, log, "The broker and the stations keep what comes")
        self._filter = StationFilter(settings.stations, "followed")
        self._ask_at = 0.0
        self.connected, self.connections = False, 0
        self._closing = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        inbox.wake = self._wake
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self, seconds: float = 2.0) -> None:
        """Acknowledge what is stored, and end the connection; the broker keeps the session.

        Args:
            seconds: Longest time to wait for its end.
        """
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake()
        wait_for_end(self._thread, seconds)

    def _run(self) -> None:
        while not self._closing.is_set():
            pause = self._reconnection.run_once(self._connect, self._serve)
            self.connected = False
            self._forget()
            self._closing.wait(pause)
        self._wake_in.close()
        self._wake_out.close()

    def _connect(self, terms: Terms) -> Session:
        self.connections += 1
        largest = LARGEST_BYTES["picture"] + 2**12 if self._pictures is not None else 2**18
        receiving = Receiving(largest=largest, kept_s=KEPT_S, window=MOST_AT_ONCE)
        return HeldSession(
            self._client_id, terms, self._settings.mqtt, topics(self._settings), self._receive, receiving
        )

    def _serve(self, session: Session) -> bool:
        assert isinstance(session, HeldSession)
        while not self._closing.is_set():
            session.turn(self._wake_out, _TURN_S)
            with contextlib.suppress(BlockingIOError):
                self._wake_out.recv(4096)
            self._acknowledge(session)
            if session.subscribed and not self.connected:
                self.connected = True
                self._reconnection.say_connected(session)
            if self.connected and time.monotonic() >= self._ask_at:
                self._ask_at = time.monotonic() + _ASK_EVERY_S
                self._ask(session)
        self._acknowledge(session)
        session.turn(self._wake_out, 0)
        return True

    def _acknowledge(self, session: HeldSession) -> None:
        while (stored := self._inbox.next_stored()) is not None:
            if stored.packet_id is not None and stored.connection == self.connections:
                session.acknowledge(stored.packet_id)

    def _ask(self, session: Session) -> None:
        """Send commands for missing parts, unless the missing parts may be among those that wait here."""
        if self._recorder.problem is not None or len(self._inbox) >= MOST_AT_ONCE:
            self._forget()
            return
        now = time.monotonic()
        for station in list(self._recorder.stations.values()):
            if (command := station.ask(now)) is not None:
                session.send_command(station.topics.command, command)

    def _forget(self) -> None:
        for station in list(self._recorder.stations.values()):
            station.forget()

    def _receive(self, topic: str, payload: bytes, retained: bool, packet_id: int | None) -> None:
        levels = topic.removeprefix(f"{TOPIC_ROOT}/").split("/")
        station = "/".join(levels[:3])
        if self._filter.follows(station) and payload:
            if len(levels) == 4 and levels[3] in MODELS:
                self._inbox.put(Received(self.connections, packet_id, station, levels[3], payload, retained))
                return
            if len(levels) == 5 and levels[3] in _PICTURES:
                self._offer(station, _PICTURES[levels[3]], levels[4].lower(), payload)
        if packet_id is not None:
            # Nothing is stored of it. It is acknowledged in its turn, as MQTT asks for.
            self._inbox.put(Received(self.connections, packet_id, station, "", b"", retained))

    def _offer(self, station: str, kind: PictureKind, identity: str, data: bytes) -> None:
        if self._pictures is not None and re.fullmatch(UUID7_PATTERN, identity) and is_picture(kind, data):
            self._pictures.offer(Picture(station, identity, kind, data))

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            self._wake_in.send(b"\0")
