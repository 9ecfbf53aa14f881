"""One MQTT connection from CONNECT to its end, driven by one thread."""

from __future__ import annotations

import logging
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import MQTTException, Properties  # type: ignore[attr-defined]
from paho.mqtt.reasoncodes import ReasonCode

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.commands import ReturnAddress
from edge_inspect.edge.mqtt.broker import VERSIONS, Terms
from edge_inspect.edge.mqtt.confirmation import Confirmations
from edge_inspect.edge.mqtt.connection import MQTT5, RECEIVING, Receiving, connect, new_client
from edge_inspect.edge.mqtt.failure import explain_silence
from edge_inspect.edge.mqtt.in_flight import InFlight, Token
from edge_inspect.edge.mqtt.limits import Limits
from edge_inspect.edge.mqtt.problem import ConnectionProblem, describe_reason, refusal
from edge_inspect.edge.mqtt.properties import DELIVERY, MessageProperties, message_properties, will_properties

log = logging.getLogger(__name__)

OnMessage = Callable[[bytes, bool, ReturnAddress | None], None]
"""Called with a payload, whether the broker had retained it, and the sender's return address, if it has one."""

UNSUPPORTED_VERSION = 0x84
# Not authorized, topic name invalid: all messages of this topic will be refused, but other topics may be accepted.
_OF_A_TOPIC = {0x87, 0x90}
_PACKET_OVERHEAD = 1 + 4 + 2 + 2  # fixed header, length of the topic, packet id
# Exceptions that paho raises, depending on its version, for bytes that are not a packet.
_MALFORMED = (MQTTException, LookupError, ValueError, AssertionError, TypeError, struct.error)


class LastWill(NamedTuple):
    """The message that the broker publishes with QoS 1 when the connection is lost."""

    topic: str
    payload: bytes
    of_contract: bool = True
    """Whether it is a status of the contract, which is retained and has MQTT 5 properties."""


class Session:
    """One connection. Not thread-safe.

    Args:
        client_id: MQTT client id.
        terms: Terms of the connection.
        settings: Settings of the connection.
        will: Last will; `None` for no will.
        subscriptions: Topics to subscribe to, each with the function that is called with its messages, inside `turn`.
        receiving: Limits of what the client receives.

    Raises:
        ConnectionProblem: The connection cannot be made, or has ended; every method raises it.
    """

    def __init__(
        self,
        client_id: str,
        terms: Terms,
        settings: MqttSettings,
        will: LastWill | None,
        subscriptions: Mapping[str, OnMessage],
        receiving: Receiving = RECEIVING,
    ) -> None:
        self.connected = False
        """Whether messages may be sent."""
        self.answered = False
        """Whether the broker has answered this version of MQTT."""
        self.limits = Limits(qos=terms.qos, retain=terms.retain)
        """Limits of the broker; before its answer, those of the terms."""
        self.refused_token: Token | None = None
        """Token of a message that the broker has refused with an error that ends the connection."""
        self._terms = terms
        self._settings = settings
        self._subscriptions = subscriptions
        self._subscribing: dict[int | None, str] = {}
        self._is_5 = terms.protocol == MQTT5
        self._window = settings.window
        self.in_flight = InFlight()
        self._handling = False
        self._problem: ConnectionProblem | None = None
        self._properties = MessageProperties(is_5=self._is_5, expiry_s=settings.message_expiry_s)
        self._client = new_client(client_id, terms.protocol, settings, receiving)
        self._confirmations = Confirmations(self._client, self.in_flight)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.on_unsubscribe = self._on_confirmed
        self._client.on_message = self._on_message
        self._retains_will = will is not None and will.of_contract and terms.retain and not self._is_5
        if will is not None:
            described = will_properties("status") if self._is_5 and will.of_contract else None
            retain = will.of_contract and terms.retain
            self._client.will_set(will.topic, will.payload, terms.qos, retain=retain, properties=described)
        connect(self._client, terms.protocol, settings, receiving)
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            # Without this, a small packet such as a reply would wait until TCP has acknowledged the packet before it.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.in_flight.progress_at = time.monotonic()

    @property
    def version(self) -> str:
        """Name of the MQTT version in use, for the log."""
        return VERSIONS[self._terms.protocol]

    @property
    def subscribed(self) -> bool:
        """Whether the broker has confirmed every subscription, so that no later message is missed."""
        return self.connected and not self._subscribing

    @property
    def writing(self) -> bool:
        """Whether bytes wait until the connection accepts them."""
        return self._client.want_write()

    @property
    def free(self) -> int:
        """Number of messages that may be sent now."""
        return max(0, self._window - len(self.in_flight))

    def limit(self, size: int, schema: str | None = "verdict") -> int | None:
        """Return the packet limit if a message with `size` bytes of topic and payload is above it, else `None`."""
        largest = self.limits.packet
        if largest is None:
            return None
        return largest if size + _PACKET_OVERHEAD + self._properties.size(schema) > largest else None

    def send(self, schema: str, topic: str, payload: bytes, token: Token, back: ReturnAddress | None = None) -> None:
        """Send a message of the contract; `in_flight` then knows under its token whether it was acknowledged.

        A reply is also sent to the return address `back`, with its correlation data.
        """
        qos, retain = DELIVERY[schema]
        properties = None
        if back is not None and self._can_answer(back, topic, payload):
            properties = message_properties(schema, correlation=back.correlation)
            if back.topic not in (None, topic):
                # QoS 0, so that a broker that does not let the station publish there does not end the connection.
                self._client.publish(back.topic, payload, 0, False, properties)
        number = self._publish(topic, payload, qos, retain=retain, schema=schema, properties=properties)
        # Without a number the connection has just ended, and `turn` raises the reason.
        if number is not None:
            self._await(qos, number, token, topic)

    def send_command(self, topic: str, payload: bytes) -> None:
        """Send a command with QoS 0: the reply acknowledges it, and a refusal must not end the connection."""
        self._publish(topic, payload, 0, schema="command")

    def turn(self, wake: socket.socket, timeout: float) -> None:
        """Wait until the broker sends data, `wake` is readable or `timeout` seconds are over; then read and write."""
        self._confirmations.ask()
        answer_s = self._terms.patience_s or self._settings.connect_timeout_s
        if not self.answered:
            timeout = max(0.0, min(timeout, self.in_flight.progress_at + answer_s - time.monotonic() + 0.001))
        connection = self._client.socket()
        if connection is not None and self._problem is None:
            # Data that TLS has already decrypted does not make the socket readable.
            if not (isinstance(connection, ssl.SSLSocket) and connection.pending()):
                poll = select.poll()
                poll.register(connection.fileno(), select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
                poll.register(wake, select.POLLIN)
                poll.poll(1000 * timeout)
            self._read()
            if self._client.want_write():
                self._client.loop_write()
            self._client.loop_misc()
        if self._problem is None and self._client.socket() is None:
            self._problem = ConnectionProblem("the connection was closed", of_message=True)
        if self._problem is not None:
            raise self._problem
        self.in_flight.settle()
        waited = time.monotonic() - self.in_flight.progress_at
        if not self.answered and waited > answer_s:
            raise ConnectionProblem(f"no answer to the attempt to connect within {answer_s:g} s")
        if (len(self.in_flight) or self._subscribing) and waited > self._settings.acknowledge_timeout_s:
            raise ConnectionProblem(f"no acknowledgement for {waited:.0f} s", of_message=True)

    def close(self, *, orderly: bool) -> None:
        """End the connection; if `orderly` is false, the broker publishes the last will."""
        self.connected = False
        if orderly:
            self._disconnect()
        # paho closes its socket only after it has written a DISCONNECT.
        connection = self._client.socket()
        if connection is not None:
            connection.close()

    def _can_answer(self, back: ReturnAddress, topic: str, payload: bytes) -> bool:
        """Return whether the connection uses MQTT 5, and the reply with this address is within the broker's limit."""
        size = len((back.topic or topic).encode()) + len(topic.encode()) + len(payload) + len(back.correlation or b"")
        return self._is_5 and self.limit(size) is None

    def _disconnect(self) -> None:
        self._client.disconnect()

    def _publish(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        *,
        retain: bool = False,
        schema: str | None = None,
        properties: Properties | None = None,
    ) -> int | None:
        """Publish within the broker's limits; return the packet's number, or `None` if it was not sent."""
        limit = Session.limit(self, len(topic.encode()) + len(payload), schema)
        if limit is not None:
            log.error(
                "%s: %d bytes are not sent: the broker's packet limit is %d; raise it", topic, len(payload), limit
            )
            return None
        described = properties or self._properties.of(schema)
        sent = self._client.publish(topic, payload, min(qos, self.limits.qos), retain and self.limits.retain, described)
        return sent.mid if sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def _await(self, qos: int, number: int, token: Token, topic: str) -> None:
        """Expect the acknowledgement of a message that was sent."""
        if not qos:
            self.in_flight.let_settle(token)
        elif self.limits.qos:
            self.in_flight.expect(number, token)
        else:
            self._confirmations.expect(token, topic, self._window)

    def _read(self) -> None:
        """Read from the broker; bytes that are not MQTT are a problem of the connection, not a bug here."""
        try:
            result = self._client.loop_read()
        except _MALFORMED as error:
            if self._handling:
                raise
            self._problem = self._malformed(f": {error}")
        else:
            # paho returns the same result for a refused connection, whose problem is known already.
            if result == MQTTErrorCode.MQTT_ERR_PROTOCOL and (self._problem is None or self._problem.code is None):
                self._problem = self._malformed("")

    def _malformed(self, how: str) -> ConnectionProblem:
        what = f"it sent bytes that are not {self.version}{how}; check which program listens on this port"
        return ConnectionProblem(what, hung_up=True)

    def _on_connect(
        self, client: Client, userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if self.answered:
            self._problem = ConnectionProblem("it sent a second CONNACK")
            return
        self.answered = reason.value != UNSUPPORTED_VERSION
        waited = time.monotonic() - self.in_flight.progress_at
        problem = self._terms.on_answer(waited) if self.answered else None
        self._problem = refusal("refused the connection", reason) if reason.is_failure else problem
        if self._problem is not None:
            return
        self.connected = True
        self.in_flight.progress_at = time.monotonic()
        announced = Limits.read(properties)
        self.limits = announced._replace(
            qos=min(announced.qos, self._terms.qos), retain=announced.retain and self._terms.retain
        )
        self._window = min(self._window, self.limits.window)
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
                    "the connection was lost; if that repeats, check that no other client uses this client id",
                    of_message=True,
                )
            else:
                # With MQTT 5 the broker would give a reason code.
                retain = "; if it lacks retained messages, set mqtt.retain: false" if self._retains_will else ""
                self._problem = ConnectionProblem(explain_silence(self._settings) + retain, hung_up=True)

    def _on_subscribe(
        self, client: Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        topic = self._subscribing.pop(mid, None)
        self.in_flight.progress_at = time.monotonic()
        if any(reason.is_failure for reason in reasons):
            log.warning(
                "the broker refuses the subscription to %s: %s; let this user read that topic in its access list",
                topic,
                reasons[0].getName(),
            )

    def _on_confirmed(
        self, client: Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        self._confirmations.take(mid)

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        topic = message.topic  # raises if it is no text, which is the broker's mistake
        # An exception while a message is handled is a bug, so `_read` must not treat it as the broker's mistake.
        self._handling = True
        self._take(topic, message)
        self._handling = False

    def _take(self, topic: str, message: MQTTMessage) -> None:
        if topic in self._subscriptions:
            self._subscriptions[topic](bytes(message.payload), message.retain, _return_address(message))

    def _on_publish(
        self, client: Client, userdata: object, mid: int, reason: ReasonCode, properties: Properties
    ) -> None:
        if mid not in self.in_flight:
            return
        if not reason.is_failure:
            self.in_flight.acknowledge(mid)
            return
        # The sender keeps a refused message.
        if reason.value in _OF_A_TOPIC:
            self.in_flight.refuse(mid, describe_reason(reason))
            return
        token = self.in_flight.take(mid)
        if self._problem is None:
            self._problem = refusal("refused a message", reason)
            self.refused_token = token


def _return_address(message: MQTTMessage) -> ReturnAddress | None:
    """Return response topic and correlation data of an MQTT 5 message; `None` if it has neither."""
    topic = getattr(message.properties, "ResponseTopic", None)
    correlation = getattr(message.properties, "CorrelationData", None)
    return None if topic is None and correlation is None else ReturnAddress(topic, correlation)
