"""A session that collects messages, and acknowledges all of them once they are stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.connection import Receiving
from edge_inspect.edge.mqtt.held_session import HeldSession


class Heard(NamedTuple):
    """A message as it came: topic, content, and whether the broker had retained it."""

    topic: str
    payload: bytes
    retained: bool


class CollectingSession(HeldSession):
    """One connection whose messages are taken all at once, stored, and then acknowledged. Not thread-safe.

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
        self, client_id: str, terms: Terms, settings: MqttSettings, topics: Iterable[str], receiving: Receiving
    ) -> None:
        self._heard: list[Heard] = []
        self._unacknowledged: list[int] = []
        super().__init__(client_id, terms, settings, topics, self._collect, receiving)

    @property
    def heard(self) -> int:
        """Number of messages that `take` would return."""
        return len(self._heard)

    def take(self) -> list[Heard]:
        """Return the messages that came since the last call, in order."""
        taken, self._heard = self._heard, []
        return taken

    def acknowledge_all(self) -> None:
        """Acknowledge every message that `take` has returned; nothing may have come since."""
        for packet_id in self._unacknowledged:
            self.acknowledge(packet_id)
        self._unacknowledged.clear()

    def _collect(self, topic: str, payload: bytes, retained: bool, packet_id: int | None) -> None:
        self._heard.append(Heard(topic, payload, retained))
        if packet_id is not None:
            self._unacknowledged.append(packet_id)
