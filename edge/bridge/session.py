"""The bridge's connection to the broker: hears its stations, and sends the commands that ask for what is missing."""

from __future__ import annotations

import functools
import logging
import random
import socket
import threading
import time
from collections.abc import Sequence

from edge.bridge.station import BridgedStation
from edge.mqtt.connection import MQTT5, MQTT311, ConnectionProblem, box_id
from edge.mqtt.session import Session
from edge.settings import MqttSettings

log = logging.getLogger(__name__)

_TURN_S = 0.05
_FIRST_PAUSE_S = 0.25


class Subscriber:
    """Hears the stations in a thread of its own, from its making to `close`; connects again whenever that is needed.

    The broker keeps nothing for it: what it misses is asked for.

    Args:
        name: Of the bridge.
        settings: Of the connection.
        stations: That are followed.
    """

    def __init__(self, name: str, settings: MqttSettings, stations: Sequence[BridgedStation]) -> None:
        self._client_id = f"edge-inspect-{name}-{box_id()}"
        self._settings, self._stations = settings, stations
        self._subscriptions = {
            topic: functools.partial(_receive, station, topic)
            for station in stations
            for topic in station.subscriptions
        }
        self._protocol = self._lasting_protocol = MQTT5
        self._closing = threading.Event()
        self._last_problem = ""
        self._wake_in, self._wake_out = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the connection."""
        self._closing.set()
        self._wake_in.close()
        self._thread.join(2 * self._settings.connect_timeout_s)
        self._wake_out.close()

    def _run(self) -> None:
        attempt = 0
        while not self._closing.is_set():
            started = time.monotonic()
            slow = False
            try:
                self._live()
            except ConnectionProblem as problem:
                slow = problem.slow
                self._say(str(problem))
            except Exception:
                # The thread must outlive a malformed packet; a bug keeps its traceback.
                log.exception("the connection to the broker failed")
            for station in self._stations:
                station.connect(False)
            cap = self._settings.backoff_cap_s
            attempt = 0 if time.monotonic() - started > cap else attempt + 1
            low, high = (cap / 2, cap) if slow else (0, min(cap, _FIRST_PAUSE_S * 2 ** min(attempt, 20)))
            self._closing.wait(random.uniform(low, high))

    def _live(self) -> None:
        """Live through one connection, until it is lost or `close` is called."""
        protocol, self._protocol = self._protocol, self._lasting_protocol
        session = Session(self._client_id, protocol, self._settings, None, self._subscriptions)
        try:
            while not session.connected:
                session.turn(self._wake_out, _TURN_S)
                if self._closing.is_set():
                    return
            self._last_problem = ""
            log.info("connected to broker %s:%d", self._settings.host, self._settings.port)
            for station in self._stations:
                station.connect(True)
            while not self._closing.is_set():
                for station in self._stations:
                    if (command := station.ask(time.monotonic())) is not None:
                        session.send_command(station.topics.command, command)
                session.turn(self._wake_out, _TURN_S)
        except ConnectionProblem as problem:
            if problem.protocol_refused:
                self._protocol = self._lasting_protocol = MQTT311
            elif not session.answered and protocol == MQTT5:
                # Some old brokers hang up on MQTT 5 without a word.
                self._protocol = MQTT311
            raise
        finally:
            session.close(orderly=self._closing.is_set())

    def _say(self, problem: str) -> None:
        """Log a problem once, not at every attempt."""
        level = logging.DEBUG if problem == self._last_problem else logging.WARNING
        where = f"{self._settings.host}:{self._settings.port}"
        log.log(level, "broker %s: %s. The stale bits are set; trying again", where, problem)
        self._last_problem = problem


def _receive(station: BridgedStation, topic: str, payload: bytes, retained: bool) -> None:
    station.receive(topic, payload, time.monotonic(), retained=retained)
