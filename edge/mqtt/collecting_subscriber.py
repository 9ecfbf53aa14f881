"""A program's subscription to stations: a thread that collects their messages, and keeps connected to the broker."""

from __future__ import annotations

import logging
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.collecting_session import CollectingSession
from edge_inspect.edge.mqtt.connection import Receiving
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.session import Session
from edge_inspect.edge.threads import wait_for_end

KEPT_S = 86_400
"""Seconds for which the broker keeps messages for a subscriber that is not connected."""
_AT_ONCE = 100


class CollectingSubscriber(ABC):
    """Receives messages in a thread of its own until `close`, and reconnects whenever that is needed.

    A subclass works on what has come, in this thread. It must be ready for that before it calls `__init__` of this
    class, which starts the thread.

    Args:
        program: Name of the program, for the name of the thread.
        client_id: MQTT client id, for which the broker keeps messages.
        settings: Settings of the connection.
        topics: Topics to subscribe to.
        log: Log of the subclass.
        meanwhile: What a problem of the connection means, as a sentence without its full stop.
        turn_s: Longest time between two calls of `_work`, in seconds.

    Attributes:
        connected: Whether the broker has confirmed every subscription.
        failure: Why the work cannot go on; a subclass sets it, and the thread ends then. `None`: nothing.
    """

    def __init__(
        self,
        program: str,
        client_id: str,
        settings: MqttSettings,
        topics: Sequence[str],
        log: logging.Logger,
        meanwhile: str,
        turn_s: float,
    ) -> None:
        self._client_id, self._settings, self._topics, self._turn_s = client_id, settings, topics, turn_s
        self._reconnection = Reconnection(settings, log, meanwhile)
        self.connected = False
        self.failure: Exception | None = None
        self._closing = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{program}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the connection; the broker keeps messages for the next one."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake_in.close()
        wait_for_end(self._thread, 2 * self._settings.connect_timeout_s)

    @abstractmethod
    def _work(self, session: CollectingSession) -> None:
        """Work on what `session` has collected, and acknowledge what is stored."""

    @abstractmethod
    def _note_connection(self) -> None:
        """Note that `connected` may have changed."""

    @property
    def _goes_on(self) -> bool:
        return self.failure is None and not self._closing.is_set()

    def _run(self) -> None:
        while self._goes_on:
            pause = self._reconnection.run_once(self._connect, self._serve)
            self.connected = False
            self._note_connection()
            self._closing.wait(pause)
        self._wake_out.close()

    def _connect(self, terms: Terms) -> CollectingSession:
        return CollectingSession(self._client_id, terms, self._settings, self._topics, Receiving(kept_s=KEPT_S))

    def _serve(self, session: Session) -> bool:
        assert isinstance(session, CollectingSession)  # the one that `_connect` has made
        while self._goes_on:
            session.turn(self._wake_out, self._turn_s)
            heard = 0
            while heard < session.heard < _AT_ONCE:
                heard = session.heard
                session.turn(self._wake_out, 0)
            if session.subscribed and not self.connected:
                self._reconnection.say_connected(session)
                self.connected = True
                self._note_connection()
            self._work(session)
        return True
