"""The joiner's connection to the broker, over which it hears the views and asks them for missing verdicts."""

from __future__ import annotations

import logging
import socket
import threading
import time

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.identity import box_id
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.collecting_session import CollectingSession
from edge_inspect.edge.mqtt.connection import Receiving
from edge_inspect.edge.mqtt.problem import ConnectionProblem
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.session import Session
from edge_inspect.edge.threads import wait_for_end
from edge_inspect.edge.views.joined_line import JoinedLine

log = logging.getLogger(__name__)

KEPT_S = 86_400
"""Seconds for which the broker keeps verdicts for the joiner while it is not connected."""
_TURN_S = 0.02
_AT_ONCE = 100


class ViewSubscriber:
    """Works in a thread of its own until `close`, and reconnects whenever that is needed.

    Messages are acknowledged to the broker only when they and what follows from them are on the disk.

    Args:
        name: Name of the joint station.
        settings: Settings of the connection.
        line: The joined line, which only this thread uses.

    Attributes:
        failure: Why the work cannot go on; the process must end then. `None`: nothing.
    """

    def __init__(self, name: str, settings: MqttSettings, line: JoinedLine) -> None:
        own = f"{settings.client_id}-views" if settings.client_id is not None else None
        self._client_id = own or f"edge-inspect-views-{name}-{box_id()}"
        self._settings, self._line = settings, line
        self._reconnection = Reconnection(settings, log, "Verdicts of the views wait at the broker")
        self.failure: Exception | None = None
        self._connected = False
        self._closing = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="mqtt-views", daemon=True)
        self._thread.start()

    @property
    def why_deaf(self) -> str | None:
        """Why a view cannot be heard now; `None` if all can."""
        if not self._connected:
            return "no connection to the broker"
        offline = [view.name for view in self._line.views if view.state == "offline"]
        return f"the station of view {offline[0]} is offline" if offline else None

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

    def _run(self) -> None:
        while not self._closing.is_set() and self.failure is None:
            pause = self._reconnection.run_once(self._connect, self._serve)
            self._connected = False
            self._line.disconnect()
            self._closing.wait(pause)
        self._wake_out.close()

    def _connect(self, terms: Terms) -> CollectingSession:
        return CollectingSession(self._client_id, terms, self._settings, self._line.topics, Receiving(kept_s=KEPT_S))

    def _serve(self, session: Session) -> bool:
        assert isinstance(session, CollectingSession)  # the one that `_connect` has made
        try:
            while not self._closing.is_set():
                self._turn(session)
        except ConnectionProblem:
            raise
        except Exception as error:
            # What is in memory may be ahead of what is stored, so the next process begins again at what is stored.
            log.critical("the work ends: %s", error)
            self.failure = error
        return True

    def _turn(self, session: CollectingSession) -> None:
        """Receive what has come, work on it, store it, and acknowledge it."""
        session.turn(self._wake_out, _TURN_S)
        heard = 0
        while heard < session.heard < _AT_ONCE:
            heard = session.heard
            session.turn(self._wake_out, 0)
        now = time.monotonic()
        if session.subscribed and not self._connected:
            self._reconnection.say_connected(session)
            self._line.connect(now)
            self._connected = True
        self._line.work(session.take(), now, decide=self._connected)
        session.acknowledge_all()
        if self._connected:
            for view in self._line.views:
                if (command := view.ask(now)) is not None:
                    session.send_command(view.topics.command, command)
