"""The connection of `edge-inspect fleet` to the broker, which is made again whenever it is lost."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.errors import CheckFailed
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.pattern_session import PatternSession, Receive
from edge_inspect.edge.mqtt.problem import ConnectionProblem
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.session import Session

log = logging.getLogger(__name__)
# Whoever uses the connection says what it logs.
log.addHandler(logging.NullHandler())
log.propagate = False

_TURN_S = 0.1


class FleetConnection:
    """Receives the messages of many stations and sends them commands. Used by one thread, and only once.

    Args:
        settings: Settings of the connection.
        topics: Topics to subscribe to; they may have wildcards.

    Attributes:
        connected: Whether the broker has confirmed every subscription.
        connected_at: Time at which it last did, in seconds of `time.monotonic`.
        problem: The problem of the last connection; `None` if there was none since.
    """

    def __init__(self, settings: MqttSettings, topics: list[str]) -> None:
        self._settings, self._topics = settings, topics
        self._client_id = f"edge-inspect-fleet-{uuid7()[-12:]}"
        self._session: Session | None = None
        self._receive: Receive = lambda topic, payload, retained: None
        self._step: Callable[[], bool] = lambda: True
        self._done = False
        self._bug: Exception | None = None
        self.connected = False
        self.connected_at = float("-inf")
        self.problem: ConnectionProblem | None = None

    @property
    def where(self) -> str:
        """The broker, for messages."""
        return f"broker {self._settings.host}:{self._settings.port}"

    def run(self, receive: Receive, step: Callable[[], bool]) -> None:
        """Connect, and call a function again and again, also while there is no connection, until it returns true.

        Args:
            receive: Called with each message.
            step: Called after each turn of the connection: at least ten times a second while there is one.
        """
        self._receive, self._step = receive, step
        reconnection = Reconnection(self._settings, log, "The command goes on when the broker can be reached again")
        self._wake_in, self._wake_out = socket.socketpair()
        with self._wake_in, self._wake_out:
            while not self._done:
                pause = reconnection.run_once(self._connect, self._serve)
                self.connected, self._session = False, None
                self._idle(pause)

    def send_command(self, topic: str, payload: bytes) -> None:
        """Send a command; the reply acknowledges it.

        Raises:
            ConnectionProblem: The connection has ended; `run` makes another one.
        """
        if self._session is None or not self.connected:
            raise ConnectionProblem("there is no connection")
        self._session.send_command(topic, payload)

    def check(self, since: float) -> None:
        """Raise an error if the broker could not be reached for the first time.

        Args:
            since: Time at which the first connection began, in seconds of `time.monotonic`.

        Raises:
            CheckFailed: So it is.
        """
        waited = time.monotonic() - since
        if not self.connected and waited > self._settings.connect_timeout_s:
            raise CheckFailed(f"{self.where}: {self.problem or f'no answer within {waited:.0f} s'}")

    def _connect(self, terms: Terms) -> Session:
        try:
            return PatternSession(self._client_id, terms, self._settings, self._topics, self._receive)
        except ConnectionProblem as problem:
            self.problem = problem
            raise

    def _serve(self, session: Session) -> bool:
        self._session = session
        try:
            while not self._done:
                session.turn(self._wake_out, _TURN_S)
                if session.subscribed and not self.connected:
                    self.connected, self.connected_at, self.problem = True, time.monotonic(), None
                self._take_step()
        except ConnectionProblem as problem:
            self.problem = problem
            raise
        return True

    def _idle(self, seconds: float) -> None:
        """Call the function of `run` while there is no connection."""
        until = time.monotonic() + seconds
        while self._bug is None and not self._done and time.monotonic() < until:
            self._take_step()
            time.sleep(_TURN_S)
        if self._bug is not None:
            raise self._bug

    def _take_step(self) -> None:
        try:
            self._done = self._step()
        except ConnectionProblem:
            raise
        except Exception as error:
            # `Reconnection` would log it and connect again, so `run` raises it.
            self._done, self._bug = True, error
