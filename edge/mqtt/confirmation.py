"""Confirmation of messages with QoS 0, which a broker does not acknowledge."""

from __future__ import annotations

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

from edge_inspect.edge.mqtt.in_flight import InFlight, Token


class Confirmations:
    """Finds out that the broker has received messages with QoS 0. Used by one thread.

    After the messages, the client sends an UNSUBSCRIBE of a topic that it never subscribed to. The broker must answer
    it (MQTT-3.10.4-5), and it reads the packets of a connection in order. So the answer shows that the messages before
    it have arrived. This costs a few bytes per turn, needs no rights, and changes nothing at the broker.

    Args:
        client: Client of the connection.
        in_flight: Messages sent over the connection; one that waits for its confirmation has a negative number there.
    """

    def __init__(self, client: Client, in_flight: InFlight) -> None:
        self._client, self._in_flight = client, in_flight
        self._sent = 0
        self._topic = ""
        self._unconfirmed: list[int] = []
        self._asked: dict[int, list[int]] = {}

    def expect(self, token: Token, topic: str, window: int) -> None:
        """Confirm a message that was just sent.

        Args:
            token: Token of the message.
            topic: Topic of the message, which the UNSUBSCRIBE names.
            window: Largest number of messages that may be unconfirmed.
        """
        self._sent += 1
        self._unconfirmed.append(-self._sent)
        self._in_flight.expect(-self._sent, token)
        self._topic = topic
        # Ask four times per window: while the broker confirms one part of it, the next messages are on their way.
        if len(self._unconfirmed) * 4 >= window:
            self.ask()

    def ask(self) -> None:
        """Send an UNSUBSCRIBE for all messages without one."""
        if not self._unconfirmed:
            return
        result, number = self._client.unsubscribe(self._topic)
        if result == MQTTErrorCode.MQTT_ERR_SUCCESS and number is not None:
            self._asked[number], self._unconfirmed = self._unconfirmed, []

    def take(self, number: int) -> None:
        """Note that the broker has answered the UNSUBSCRIBE with this packet number."""
        for confirmed in self._asked.pop(number, ()):
            self._in_flight.acknowledge(confirmed)
