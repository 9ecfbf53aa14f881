"""Which session a station opens: JSON, JSON that Home Assistant is told of, or Sparkplug B."""

from __future__ import annotations

from collections.abc import Callable, Collection

from edge_inspect.edge.configuration.settings import MqttSettings
from edge_inspect.edge.contract.commands import Verb
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.connection import client_id
from edge_inspect.edge.mqtt.home_assistant import Discovery, DiscoverySession
from edge_inspect.edge.mqtt.session import LastWill, OnMessage, Session

Open = Callable[[Terms, Status], Session]
"""Opens one connection; given its terms, and the status that a lost connection is to leave."""


def opener(
    topics: Topics,
    settings: MqttSettings,
    newest: Callable[[], int],
    on_command: OnMessage | None,
    allowed: Collection[Verb] = (),
) -> Open:
    """Return what opens a station's connections, one after another.

    Args:
        topics: Of the station.
        settings: Of the connection.
        newest: Says which is the station's newest part.
        on_command: Called with each command; `None` for none.
        allowed: Commands that the station carries out.
    """
    name = _client_id(topics, settings)
    if settings.encoding == "sparkplug_b":
        # protobuf is an extra.
        from edge_inspect.edge.mqtt.sparkplug.node import EdgeNode
        from edge_inspect.edge.mqtt.sparkplug.session import SparkplugSession

        node = EdgeNode(topics)
        return lambda terms, will: SparkplugSession(name, terms, settings, node, newest, on_command)
    commands = {} if on_command is None else {topics.command: on_command}
    if settings.home_assistant is not None:
        discovery = Discovery(topics, settings.home_assistant, allowed)
        return lambda terms, will: DiscoverySession(
            name, terms, settings, LastWill(topics.status, will.to_json()), commands, discovery
        )
    return lambda terms, will: Session(name, terms, settings, LastWill(topics.status, will.to_json()), commands)


def _client_id(topics: Topics, settings: MqttSettings) -> str:
    if settings.client_id is None:
        return client_id(topics)
    return settings.client_id.format(site=topics.site, line=topics.line, station=topics.station)
