"""A session of a program that stores what it receives: it acknowledges a message when that is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from paho.mqtt.client import MQTTMessage

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.connection import Receiving
from edge_inspect.edge.mqtt.pattern_session import PatternSession

Hold = Callable[[str, bytes, bool, int | None], object]
"""Called with the topic of a message, its payload, whether the broker had retained it, and its packet id, by which it
is acknowledged; `None` if it needs no acknowledgement."""


class HeldSession(PatternSession):
    """One connection on which received messages are acknowledged by `acknowledge` alone. Not thread-safe.

    The broker sends messages that were not acknowledged again with the next connection, if `receiving` asks it to keep
    the session.

    Args:
        client_id: MQTT client id.
        terms: Terms of the connection.
        settings: Settings of the connection.
        patterns: Topics to subscribe to; they may have wildcards.
        hold: Called with every message, inside `turn`.
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
        hold: Hold,
        receiving: Receiving,
    ) -> None:
        self._hold = hold
        super().__init__(client_id, terms, settings, patterns, lambda topic, payload, retained: None, receiving)
        # The broker's answer is read only by `turn`, so no message has come yet.
        self._client.manual_ack_set(True)

    def acknowledge(self, packet_id: int) -> None:
        """Tell the broker that a message of this connection is stored."""
        self._client.ack(packet_id, 1)

    def _take(self, topic: str, message: MQTTMessage) -> None:
        self._hold(topic, bytes(message.payload), message.retain, message.mid if message.qos else None)
