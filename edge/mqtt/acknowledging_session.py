"""A session that acknowledges messages only when it is told to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from paho.mqtt.client import MQTTMessage

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.connection import RECEIVING, Receiving
from edge_inspect.edge.mqtt.session import Session


class Heard(NamedTuple):
    """A message as it came: topic, content, and whether the broker had retained it."""

    topic: str
    payload: bytes
    retained: bool


class AcknowledgingSession(Session):
    """One connection whose messages are collected, and acknowledged to the broker once they are stored.

    The broker keeps a message with QoS 1 until it is acknowledged, and sends it again with the next connection. It
    sends only some messages ahead of the acknowledgements: mosquitto 20 by default. Not thread-safe.

    Args:
        client_id: MQTT client id; the broker keeps messages for it.
        terms: Terms of the connection.
        settings: Settings of the connection.
        topics: Topics to subscribe to.
        receiving: Limits of what the client receives, and how long the broker keeps messages for it.

    Raises:
        ConnectionProblem: The connection cannot be made, or has ended; every method raises it.
    """

    def __init__(
        self,
        client_id: str,
        terms: Terms,
        settings: MqttSettings,
        topics: Iterable[str],
        receiving: Receiving = RECEIVING,
    ) -> None:
        self._heard: list[Heard] = []
        self._unacknowledged: list[int] = []
        unused = dict.fromkeys(topics, lambda payload, retained, back: None)
        super().__init__(client_id, terms, settings, None, unused, receiving)
        self._client.manual_ack_set(True)

    @property
    def heard(self) -> int:
        """Number of messages that `take` would return."""
        return len(self._heard)

    def take(self) -> list[Heard]:
        """Return the messages that came since the last call, in order."""
        taken, self._heard = self._heard, []
        return taken

    def acknowledge(self) -> None:
        """Acknowledge every message that `take` has returned; nothing may have come since."""
        for number in self._unacknowledged:
            self._client.ack(number, 1)
        self._unacknowledged.clear()

    def _take(self, topic: str, message: MQTTMessage) -> None:
        self._heard.append(Heard(topic, bytes(message.payload), message.retain))
        if message.qos:
            self._unacknowledged.append(message.mid)
