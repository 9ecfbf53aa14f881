"""The encodings of a station's messages at the broker. `mqtt.encoding` chooses one.

json          the contract's topics and JSON; the stations can be announced to Home Assistant
sparkplug_b   each station is a Sparkplug edge node
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.commands import Verb
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.identity import box_id
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.home_assistant import Discovery, DiscoverySession
from edge_inspect.edge.mqtt.session import LastWill, Session
from edge_inspect.edge.sinks.sink import OnCommand

Open = Callable[[Terms, Status], Session]
"""Opens one connection, given its terms and the status that the last will publishes."""


class UsedTopics(NamedTuple):
    """The topics that a station publishes to and subscribes to."""

    publish: list[str]
    subscribe: list[str]


def opener(
    topics: Topics,
    settings: MqttSettings,
    newest: Callable[[], int],
    on_command: OnCommand | None,
    allowed: Collection[Verb] = (),
) -> Open:
    """Return the function that opens a station's connections, in the encoding that the settings name.

    Args:
        topics: Topics of the station.
        settings: Settings of the connection.
        newest: Returns the sequence number of the station's newest part.
        on_command: Called with each command; `None`: the station receives no commands.
        allowed: Commands that the station carries out.
    """
    name = used_client_id(topics, settings)
    if settings.encoding == "sparkplug_b":
        # Sparkplug needs protobuf, which belongs to an extra and may not be installed.
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


def used_topics(topics: Topics, settings: MqttSettings, *, pictures: bool = False) -> UsedTopics:
    """Return the topics that a station publishes and subscribes to, in the encoding that the settings name.

    Args:
        topics: Topics of the station.
        settings: Settings of the connection.
        pictures: Whether the station publishes pictures of parts.
    """
    if settings.encoding == "sparkplug_b":
        from edge_inspect.edge.mqtt.sparkplug.node import NAMESPACE, EdgeNode

        node = EdgeNode(topics)
        hosts = [f"{NAMESPACE}/STATE/{settings.primary_host}"] if settings.primary_host is not None else []
        return UsedTopics([node.topic(verb) for verb in ("NBIRTH", "NDATA", "NDEATH")], [node.topic("NCMD"), *hosts])
    publish = [topics.verdict, topics.defect, topics.status, topics.health, topics.reply, topics.image(uuid7())]
    if pictures:
        publish.append(topics.map(uuid7()))
    subscribe = [topics.command]
    if settings.home_assistant is not None:
        discovery = Discovery(topics, settings.home_assistant)
        publish.append(discovery.topic)
        subscribe.append(discovery.status_topic)
    return UsedTopics(publish, subscribe)


def client_id(topics: Topics) -> str:
    """Return a station's MQTT client id: it is the same at every start, and different on every box."""
    return f"edge-inspect-{topics.site}-{topics.line}-{topics.station}-{box_id()}"


def used_client_id(topics: Topics, settings: MqttSettings) -> str:
    """Return the MQTT client id with which a station connects: the one of the settings, or the default."""
    if settings.client_id is None:
        return client_id(topics)
    return settings.client_id.format(site=topics.site, line=topics.line, station=topics.station)
