"""One MQTT connection from CONNECT to its end, driven by one thread."""

from __future__ import annotations

import logging
import select
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.commands import ReturnAddress
from edge.mqtt.connection import (
    MQTT5,
    ConnectionProblem,
    connect,
    message_properties,
    new_client,
    refusal,
    will_properties,
)
from edge.settings import MqttSettings

log = logging.getLogger(__name__)

OnMessage = Callable[[bytes, bool, ReturnAddress | None], None]
"""Called with a payload, whether the broker had retained it, and where its sender wants an answer."""

# What a publish packet needs besides topic and payload: fixed header, packet id, properties.
_PACKET_OVERHEAD = 128


class LastWill(NamedTuple):
    """What the broker publishes with QoS 1 when the connection is lost."""

    topic: str
    payload: bytes
    of_contract: bool = True
    """It is a status of the contract: retained, and described by properties."""


class Session:
    """One connection. Not safe between threads.

    Args:
        client_id: of the station.
        protocol: MQTT 5 or 3.1.1.
        settings: of the connection.
        will: what the broker publishes when the connection is lost; `None` for nothing.
        subscriptions: the topics to hear, and what is called with each message, inside `turn`.

    Raises:
        ConnectionProblem: from every method: the connection cannot be made, or has ended.
    """

    def __init__(
        self,
        client_id: str,
        protocol: MQTTProtocolVersion,
        settings: MqttSettings,
        will: LastWill | None,
        subscriptions: Mapping[str, OnMessage],
    ) -> None:
        self.connected = False
        self.answered = False
        self._settings = settings
        self._subscriptions = subscriptions
        self._subscribing: dict[int | None, str] = {}
        self._is_5 = protocol == MQTT5
        self._window = settings.window
        self._largest: int | None = None
        self._in_flight: dict[int, int | None] = {}
        self._acknowledged: list[int] = []
        self._problem: ConnectionProblem | None = None
        self._properties: dict[str, Properties] = {}
        self._progress_at = time.monotonic()
        self._client = new_client(client_id, protocol, settings)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        if will is not None:
            described = will_properties("status") if self._is_5 and will.of_contract else None
            self._client.will_set(will.topic, will.payload, 1, retain=will.of_contract, properties=described)
        connect(self._client, protocol, settings)
        self._progress_at = time.monotonic()

    @property
    def subscribed(self) -> bool:
        """Whether the broker has answered every subscription: from then on nothing passes unheard."""
        return self.connected and not self._subscribing

    @property
    def outstanding(self) -> int:
        """Messages sent with QoS 1 and not yet acknowledged."""
        return len(self._in_flight)

    @property
    def free(self) -> int:
        """Messages that may be sent now."""
        return max(0, self._window - len(self._in_flight))

    def limit(self, size: int) -> int | None:
        """Return the broker's limit if a message of this size (topic and payload) is above it."""
        return self._largest if self._largest is not None and size + _PACKET_OVERHEAD > self._largest else None

    def send(
        self,
        schema: str,
        topic: str,
        payload: bytes,
        *,
        token: int | None = None,
        back: ReturnAddress | None = None,
    ) -> None:
        """Send a verdict, defect, status or reply with QoS 1.

        Args:
            schema: Which of them.
            topic: Of the station.
            payload: JSON.
            token: Comes back from `take_acknowledged`.
            back: Of a reply: who else wants it.
        """
        properties = self._describe(schema)
        if back is not None and self._can_answer(back, topic, payload):
            properties = message_properties(schema, correlation=back.correlation)
            if back.topic not in (None, topic):
                # QoS 0: a broker that does not let the station publish there must not end the connection for it.
                self._client.publish(back.topic, payload, 0, False, properties)
        sent = self._client.publish(topic, payload, 1, schema == "status", properties)
        # Otherwise the connection has just ended, and `turn` says why.
        if sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._expect(sent.mid, token)

    def send_health(self, topic: str, payload: bytes) -> None:
        """Send health: QoS 0, retained."""
        self._client.publish(topic, payload, 0, True, self._describe("health"))

    def send_image(self, topic: str, jpeg: bytes) -> None:
        """Send a picture: QoS 0, not retained."""
        self._client.publish(topic, jpeg, 0, False, self._describe("image"))

    def send_command(self, topic: str, payload: bytes) -> None:
        """Send a command: QoS 0, for its reply is the acknowledgement, and a refusal must not end the connection."""
        self._client.publish(topic, payload, 0, False, self._describe("command"))

    def turn(self, wake: socket.socket, timeout: float) -> None:
        """Wait until the broker sends, `wake` can be read or the time is over, and handle what there is."""
        connection = self._client.socket()
        if connection is not None and self._problem is None:
            # What TLS has already decrypted does not show in the socket.
            if not (isinstance(connection, ssl.SSLSocket) and connection.pending()):
                poll = select.poll()
                poll.register(connection.fileno(), select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
                poll.register(wake, select.POLLIN)
                poll.poll(1000 * timeout)
            self._client.loop_read()
            if self._client.want_write():
                self._client.loop_write()
            self._client.loop_misc()
        if self._problem is None and self._client.socket() is None:
            self._problem = ConnectionProblem("the connection was closed")
        if self._problem is not None:
            raise self._problem
        waited = time.monotonic() - self._progress_at
        if not self.answered and waited > self._settings.connect_timeout_s:
            raise ConnectionProblem("no answer to the attempt to connect")
        if (self._in_flight or self._subscribing) and waited > self._settings.acknowledge_timeout_s:
            raise ConnectionProblem(f"no acknowledgement for {waited:.0f} s")

    def take_acknowledged(self) -> list[int]:
        """Return the tokens acknowledged since the last call."""
        taken, self._acknowledged = self._acknowledged, []
        return taken

    def close(self, *, orderly: bool) -> None:
        """End the connection; not orderly, the broker publishes the will."""
        self.connected = False
        if orderly:
            self._disconnect()
        # paho closes its socket by itself only once a DISCONNECT is written.
        connection = self._client.socket()
        if connection is not None:
            connection.close()

    def _can_answer(self, back: ReturnAddress, topic: str, payload: bytes) -> bool:
        """Whether MQTT 5 is spoken, and the broker takes a reply that this address makes larger."""
        size = len((back.topic or topic).encode()) + len(topic.encode()) + len(payload) + len(back.correlation or b"")
        return self._is_5 and self.limit(size) is None

    def _disconnect(self) -> None:
        self._client.disconnect()

    def _expect(self, number: int, token: int | None) -> None:
        """The broker is to acknowledge this number."""
        if not self._in_flight:
            self._progress_at = time.monotonic()
        self._in_flight[number] = token

    def _acknowledge(self, number: int) -> None:
        token = self._in_flight.pop(number)
        self._progress_at = time.monotonic()
        if token is not None:
            self._acknowledged.append(token)

    def _describe(self, schema: str) -> Properties | None:
        if not self._is_5:
            return None
        if schema not in self._properties:
            expires = schema in ("verdict", "defect")
            self._properties[schema] = message_properties(schema, self._settings.message_expiry_s if expires else None)
        return self._properties[schema]

    def _on_connect(
        self, client: Client, userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self.answered = True
        if reason.is_failure:
            self._problem = refusal("refused the connection", reason)
            return
        self.connected = True
        self._progress_at = time.monotonic()
        self._window = min(self._window, getattr(properties, "ReceiveMaximum", self._window))
        self._largest = getattr(properties, "MaximumPacketSize", None)
        for topic in self._subscriptions:
            self._subscribing[client.subscribe(topic, qos=1)[1]] = topic

    def _on_disconnect(
        self,
        client: Client,
        userdata: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self.connected = False
        if self._problem is None:
            if flags.is_disconnect_packet_from_server:
                self._problem = refusal("ended the connection", reason)
            elif self.answered:
                self._problem = ConnectionProblem(
                    "the connection was lost; if that repeats, see that no other client uses this client id"
                )
            else:
                certificate = "; see that it accepts this box's certificate" if self._settings.tls else ""
                self._problem = ConnectionProblem(f"the broker hung up without an answer{certificate}")

    def _on_subscribe(
        self, client: Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        topic = self._subscribing.pop(mid, None)
        self._progress_at = time.monotonic()
        if any(reason.is_failure for reason in reasons):
            log.warning(
                "the broker gives no messages: %s; let this user subscribe to %s in its access list",
                reasons[0].getName(),
                topic,
            )

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        if message.topic in self._subscriptions:
            self._subscriptions[message.topic](bytes(message.payload), message.retain, _return_address(message))

    def _on_publish(
        self, client: Client, userdata: object, mid: int, reason: ReasonCode, properties: Properties
    ) -> None:
        if mid not in self._in_flight:
            return
        if reason.is_failure:
            # Whoever sent it keeps it.
            self._in_flight[mid] = None
            self._problem = self._problem or refusal("refused a message", reason)
        self._acknowledge(mid)


def _return_address(message: MQTTMessage) -> ReturnAddress | None:
    """Return where an MQTT 5 requester wants its reply; `None` where it does not say."""
    topic = getattr(message.properties, "ResponseTopic", None)
    correlation = getattr(message.properties, "CorrelationData", None)
    return None if topic is None and correlation is None else ReturnAddress(topic, correlation)
