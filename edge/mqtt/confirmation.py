"""Messages sent with QoS 0 that the broker confirms all the same."""

from __future__ import annotations

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

from edge_inspect.edge.mqtt.in_flight import InFlight, Token


class Confirmations:
    """Has messages confirmed that a broker acknowledges not at all. Used by one thread.

    After a message the client takes back a subscription it never had: the broker must answer that (MQTT-3.10.4-5), and
    it reads a connection's packets in their order. That costs a few bytes a turn, needs no right, and leaves nothing.

    Args:
        client: Of the connection.
        in_flight: What was sent over it; a message that waits for its confirmation has a number below 0 there.
    """

    def __init__(self, client: Client, in_flight: InFlight) -> None:
        self._client, self._in_flight = client, in_flight
        self._sent = 0
        self._topic = ""
        self._unconfirmed: list[int] = []
        self._asked: dict[int, list[int]] = {}

    def expect(self, token: Token, topic: str, window: int) -> None:
        """Have a message confirmed that was just sent to a topic, given how many may be on their way."""
        self._sent += 1
        self._unconfirmed.append(-self._sent)
        self._in_flight.expect(-self._sent, token)
        self._topic = topic
        # While the broker confirms one part of the window, another is on its way.
        if len(self._unconfirmed) * 4 >= window:
            self.ask()

    def ask(self) -> None:
        """Ask for what is not confirmed yet."""
        if not self._unconfirmed:
            return
        result, number = self._client.unsubscribe(self._topic)
        if result == MQTTErrorCode.MQTT_ERR_SUCCESS and number is not None:
            self._asked[number], self._unconfirmed = self._unconfirmed, []

    def take(self, number: int) -> None:
        """Note that the broker has answered the packet of this number."""
        for confirmed in self._asked.pop(number, ()):
            self._in_flight.acknowledge(confirmed)
