"""A session whose subscriptions have wildcards: one function gets all messages, with their topics."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from paho.mqtt.client import MQTTMessage

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.connection import RECEIVING, Receiving
from edge_inspect.edge.mqtt.session import Session

Receive = Callable[[str, bytes, bool], object]
"""Called with the topic of a message, its payload, and whether the broker had retained it; the result is not used."""


class PatternSession(Session):
    """One connection of a program that follows many stations. Not thread-safe.

    Args:
        client_id: MQTT client id.
        terms: Terms of the connection.
        settings: Settings of the connection.
        patterns: Topics to subscribe to; they may have wildcards.
        receive: Called with every message, inside `turn`.
        receiving: Limits of what the client receives.

    Raises:
        ConnectionProblem: The connection cannot be made, or has ended; every method raises it.
    """

    def __init__(
        self,
        client_id: str,
        terms: Terms,
        settings: MqttSettings,
        patterns: Iterable[str],
        receive: Receive,
        receiving: Receiving = RECEIVING,
    ) -> None:
        self._receive = receive
        unused = dict.fromkeys(patterns, lambda payload, retained, back: None)
        super().__init__(client_id, terms, settings, None, unused, receiving)

    def _take(self, topic: str, message: MQTTMessage) -> None:
        self._receive(topic, bytes(message.payload), message.retain)
