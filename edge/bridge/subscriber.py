"""The bridge's connection to the broker: it receives the stations' messages and sends them commands."""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import threading
import time
from collections.abc import Sequence

from edge_inspect.edge.bridge.station import BridgedStation
from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.commands import ReturnAddress
from edge_inspect.edge.identity import box_id
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.session import Session

log = logging.getLogger(__name__)

_TURN_S = 0.05


class BridgeSubscriber:
    """Receives the stations' messages in a thread of its own until `close`, and reconnects whenever that is needed.

    The broker keeps no messages for the bridge while it is disconnected. The bridge asks the stations for parts that it
    has missed.

    Args:
        name: Name of the bridge.
        settings: Settings of the connection.
        stations: Stations to follow.
    """

    def __init__(self, name: str, settings: MqttSettings, stations: Sequence[BridgedStation]) -> None:
        self._client_id = settings.client_id or f"edge-inspect-{name}-{box_id()}"
        self._settings, self._stations = settings, stations
        self._subscriptions = {
            topic: functools.partial(_receive, station, topic)
            for station in stations
            for topic in station.subscriptions
        }
        self._reconnection = Reconnection(settings, log, "The stale bits are set")
        self._closing = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        for station in stations:
            station.wake = self._wake
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the connection."""
        self._closing.set()
        self._wake_in.close()
        self._thread.join(2 * self._settings.connect_timeout_s)
        self._wake_out.close()

    def _wake(self) -> None:
        # If the socket is full, the thread wakes anyway; if it is closed, the bridge is ending.
        with contextlib.suppress(OSError):
            self._wake_in.send(b"\0")

    def _run(self) -> None:
        while not self._closing.is_set():
            pause = self._reconnection.run_once(self._connect, self._serve)
            for station in self._stations:
                station.connect(False)
            self._closing.wait(pause)

    def _connect(self, terms: Terms) -> Session:
        return Session(self._client_id, terms, self._settings, None, self._subscriptions)

    def _serve(self, session: Session) -> bool:
        """Receive messages and send commands until `close` is called."""
        while not session.subscribed:
            session.turn(self._wake_out, _TURN_S)
            if self._closing.is_set():
                return True
        self._reconnection.say_connected(session)
        for station in self._stations:
            station.connect(True)
        while not self._closing.is_set():
            for station in self._stations:
                if (command := station.ask(time.monotonic())) is not None:
                    session.send_command(station.topics.command, command)
            session.turn(self._wake_out, _TURN_S)
            with contextlib.suppress(BlockingIOError):
                self._wake_out.recv(4096)
        return True


def _receive(station: BridgedStation, topic: str, payload: bytes, retained: bool, back: ReturnAddress | None) -> None:
    station.receive(topic, payload, time.monotonic(), retained=retained)
