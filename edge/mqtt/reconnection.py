"""One connection after another: which version of MQTT to speak, what to tell of a problem, how long to wait."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

from paho.mqtt.enums import MQTTProtocolVersion

from edge.mqtt.connection import MQTT5, MQTT311, ConnectionProblem
from edge.mqtt.session import Session
from edge.settings import MqttSettings

_FIRST_PAUSE_S = 0.25


class Reconnection:
    """What a client of the broker knows from one connection to the next. Not safe between threads.

    It speaks MQTT 5 until the broker refuses that, then 3.1.1.

    Args:
        settings: Of the connections.
        log: Of the client.
        meanwhile: What a problem means for the client, as a sentence without its full stop.
        name: Of the client in its log; empty where the process has only one.
    """

    def __init__(self, settings: MqttSettings, log: logging.Logger, meanwhile: str, name: str = "") -> None:
        self._settings, self._log, self._meanwhile = settings, log, meanwhile
        self._prefix = f"{name}: " if name else ""
        self._protocol = self._lasting_protocol = MQTT5
        self._attempt = 0
        self._last_problem = ""

    def live(self, connect: Callable[[MQTTProtocolVersion], Session], serve: Callable[[Session], bool]) -> float:
        """Live through one connection; whatever happens to it is logged, and never an error here.

        Args:
            connect: Opens the connection, in this version of MQTT.
            serve: Works until the end, and returns whether it was an orderly one; calls `say_connected` meanwhile.

        Returns:
            The seconds to wait before the next.
        """
        started = time.monotonic()
        slow = False
        try:
            self._live(connect, serve)
        except ConnectionProblem as problem:
            slow = problem.slow
            self._say(str(problem))
        except Exception:
            # The thread must outlive a malformed packet; a bug keeps its traceback.
            self._log.exception("%sthe connection to the broker failed", self._prefix)
        cap = self._settings.backoff_cap_s
        # A connection that lasted was a good one; two clients that throw each other out never have one.
        self._attempt = 0 if time.monotonic() - started > cap else self._attempt + 1
        # Full jitter: not all boxes at once.
        low, high = (cap / 2, cap) if slow else (0, min(cap, _FIRST_PAUSE_S * 2 ** min(self._attempt, 20)))
        return random.uniform(low, high)

    def say_connected(self) -> None:
        """Log that the broker has accepted the connection; the next problem is a new one."""
        self._last_problem = ""
        self._log.info("%sconnected to broker %s:%d", self._prefix, self._settings.host, self._settings.port)

    def _live(self, connect: Callable[[MQTTProtocolVersion], Session], serve: Callable[[Session], bool]) -> None:
        protocol, self._protocol = self._protocol, self._lasting_protocol
        session = connect(protocol)
        orderly = False
        try:
            orderly = serve(session)
        except ConnectionProblem as problem:
            if problem.protocol_refused:
                self._protocol = self._lasting_protocol = MQTT311
            elif not session.answered and protocol == MQTT5:
                # Some old brokers hang up on MQTT 5 without a word.
                self._protocol = MQTT311
            raise
        finally:
            session.close(orderly=orderly)

    def _say(self, problem: str) -> None:
        """Log a problem once, not at every attempt."""
        level = logging.DEBUG if problem == self._last_problem else logging.WARNING
        where = f"{self._settings.host}:{self._settings.port}"
        self._log.log(level, "%sbroker %s: %s. %s; trying again", self._prefix, where, problem, self._meanwhile)
        self._last_problem = problem
