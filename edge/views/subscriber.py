"""The joiner's connection to the broker, over which it hears the views and asks them for missing verdicts."""

from __future__ import annotations

import logging
import time

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.identity import box_id
from edge_inspect.edge.mqtt.collecting_session import CollectingSession
from edge_inspect.edge.mqtt.collecting_subscriber import CollectingSubscriber
from edge_inspect.edge.mqtt.problem import ConnectionProblem
from edge_inspect.edge.views.joined_line import JoinedLine

log = logging.getLogger(__name__)

_TURN_S = 0.02


class ViewSubscriber(CollectingSubscriber):
    """Works in a thread of its own until `close`, and reconnects whenever that is needed.

    Messages are acknowledged to the broker only when they and what follows from them are on the disk.

    Args:
        name: Name of the joint station.
        settings: Settings of the connection.
        line: The joined line, which only this thread uses.
    """

    def __init__(self, name: str, settings: MqttSettings, line: JoinedLine) -> None:
        self._line = line
        own = f"{settings.client_id}-views" if settings.client_id is not None else None
        client_id = own or f"edge-inspect-views-{name}-{box_id()}"
        super().__init__(
            "views", client_id, settings, line.topics, log, "Verdicts of the views wait at the broker", _TURN_S
        )

    @property
    def why_deaf(self) -> str | None:
        """Why a view cannot be heard now; `None` if all can."""
        if not self.connected:
            return "no connection to the broker"
        offline = [view.name for view in self._line.views if view.state == "offline"]
        return f"the station of view {offline[0]} is offline" if offline else None

    def _note_connection(self) -> None:
        if self.connected:
            self._line.connect(time.monotonic())
        else:
            self._line.disconnect()

    def _work(self, session: CollectingSession) -> None:
        """Work on what has come, store it, acknowledge it, and ask for what is missing."""
        try:
            now = time.monotonic()
            self._line.work(session.take(), now, decide=self.connected)
            session.acknowledge_all()
            if self.connected:
                for view in self._line.views:
                    if (command := view.ask(now)) is not None:
                        session.send_command(view.topics.command, command)
        except ConnectionProblem:
            raise
        except Exception as error:
            # What is in memory may be ahead of what is stored, so the next process begins again at what is stored.
            log.critical("the work ends: %s", error)
            self.failure = error
