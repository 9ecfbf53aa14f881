"""A trial connection to the broker: whether it accepts this box, what it announces, and which topics it allows.

No station is affected: the trial has its own client id, no will, and a session that ends with it. To find out what may
be published, it sends empty messages with QoS 2 and never releases them. With MQTT 5, a broker answers at once whether
it accepts such a message, and most brokers deliver it only when it is released. A broker that delivers it at once, as
MQTT allows, sends an empty message to subscribers.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.mqtt.broker import VERSIONS
from edge_inspect.edge.mqtt.connection import MQTT5, MQTT311, connect, new_client
from edge_inspect.edge.mqtt.failure import explain_silence
from edge_inspect.edge.mqtt.problem import ConnectionProblem, refusal
from edge_inspect.edge.mqtt.session import UNSUPPORTED_VERSION

_ANSWER_S = 10.0
_RETAINED_S = 1.0
_TURN_S = 0.1
_DISCONNECT = b"\xe0\x00"
# QoS 2, not retained.
_PUBLISH = 0x34
_EXPIRES_AFTER_1_S = b"\x05\x02\x00\x00\x00\x01"

# Texts for the limits that a broker may announce.
_LIMITS = {
    "MaximumQoS": "QoS up to {}",
    "RetainAvailable": "no retained messages",
    "MaximumPacketSize": "packets up to {} bytes",
    "ReceiveMaximum": "up to {} messages unacknowledged",
    "ServerKeepAlive": "a keep-alive of {} s",
}


class BrokerTrial(NamedTuple):
    """Result of a trial.

    Attributes:
        said: Phrases about the broker, such as the version of MQTT.
        mistakes: Phrases about what the broker does not allow.
    """

    said: list[str]
    mistakes: list[str]


def try_broker(
    settings: MqttSettings,
    publish: Sequence[str],
    subscribe: Sequence[str],
    *,
    packet_bytes: int = 0,
    expected: Sequence[str] = (),
) -> BrokerTrial:
    """Connect as the service does, try the topics that it needs, and close the connection.

    Args:
        settings: Settings of the connection.
        publish: Topics that the service publishes to.
        subscribe: Topics that the service subscribes to.
        packet_bytes: Size of the largest packet that the broker must accept, in bytes.
        expected: Topics among `subscribe` that should have a retained message; one that has none is told.

    Raises:
        ConnectionProblem: The broker cannot be reached, or does not accept the connection.
    """
    protocols = {"auto": (MQTT5, MQTT311), "5": (MQTT5,), "3.1.1": (MQTT311,)}[settings.protocol]
    for protocol in protocols:
        with contextlib.closing(_TrialConnection(settings, protocol)) as connection:
            if connection.is_accepted(last=protocol == protocols[-1]):
                return connection.try_all(publish, subscribe, packet_bytes, expected)
    raise AssertionError("the last version of MQTT is answered or raises")


class _TrialConnection:
    """One trial connection; its methods raise `ConnectionProblem`."""

    def __init__(self, settings: MqttSettings, protocol: MQTTProtocolVersion) -> None:
        self._settings, self._protocol, self._is_5 = settings, protocol, protocol == MQTT5
        self._reason: ReasonCode | None = None
        self._limits: dict[str, Any] = {}
        self._subscribed: dict[int, list[ReasonCode]] = {}
        self._hung_up = False
        self._heard: set[str] = set()
        self._client = new_client(f"edge-inspect-check-{secrets.token_hex(4)}", protocol, settings)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = lambda client, userdata, message: self._heard.add(message.topic)
        connect(self._client, protocol, settings)

    def close(self) -> None:
        """End the connection, and with it the session and the unreleased messages."""
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):
                connection.sendall(_DISCONNECT)
            connection.close()

    def is_accepted(self, *, last: bool) -> bool:
        """Return whether the broker accepts the connection; if not, it may accept another version of MQTT."""
        self._wait(lambda: self._reason is not None, self._settings.connect_timeout_s)
        if self._reason is None:
            if not last:
                return False
            if self._hung_up:
                raise ConnectionProblem(explain_silence(self._settings, ask=True))
            raise ConnectionProblem(
                "it accepts the connection but does not answer MQTT; check that mqtt.port is the broker's port"
            )
        if self._reason.value == UNSUPPORTED_VERSION and not last:
            return False
        if self._reason.is_failure:
            raise refusal("refused the connection", self._reason)
        return True

    def try_all(
        self, publish: Sequence[str], subscribe: Sequence[str], packet_bytes: int, expected: Sequence[str]
    ) -> BrokerTrial:
        """Try all topics, compare the broker's packet limit with what is needed, and look for retained messages."""
        limits = [text.format(self._limits[name]) for name, text in _LIMITS.items() if name in self._limits]
        announced = f"; it announces {', '.join(limits)}" if limits else ""
        said = [f"answers with {VERSIONS[self._protocol]}{announced}"]
        mistakes = []
        if (largest := self._limits.get("MaximumPacketSize", packet_bytes)) < packet_bytes:
            mistakes.append(
                f"accepts packets up to {largest} bytes, but messages have up to about {packet_bytes}; raise its limit"
            )
        mistakes += [problem for topic in subscribe if (problem := self._subscribe(topic))]
        if not mistakes and self._limits.get("RetainAvailable", 1):
            self._wait(lambda: self._heard.issuperset(expected), _RETAINED_S)
            said += [
                f"has kept no message on {topic}; check the name, and that this station has been connected once"
                for topic in expected
                if topic not in self._heard
            ]
        if not self._is_5 or self._limits.get("MaximumQoS", 2) < 2:
            said.append("it does not say what may be published; the service's log will show what it refuses")
        else:
            mistakes += self._publish_all(publish)
        return BrokerTrial(said, mistakes)

    def _subscribe(self, topic: str) -> str:
        """Subscribe to a topic; return why that is not allowed, or an empty text."""
        number = self._client.subscribe(topic, qos=1)[1]
        self._wait(lambda: number in self._subscribed, _ANSWER_S)
        if number is None or number not in self._subscribed:
            return f"no answer to the subscription to {topic}"
        refused = next((reason for reason in self._subscribed[number] if reason.is_failure), None)
        if refused is None:
            return ""
        return f"may not subscribe to {topic}: {refused.getName()}; let this user read it in the broker's access list"

    def _publish_all(self, topics: Sequence[str]) -> list[str]:
        """Try to publish to each topic; return why some of them are not allowed."""
        connection = self._client.socket()
        if not isinstance(connection, socket.socket):
            raise ConnectionProblem("the connection was lost")
        connection.settimeout(_ANSWER_S)
        mistakes: list[str] = []
        for number, topic in enumerate(topics, 1):
            try:
                connection.sendall(_publish_packet(number, topic))
                reason = _read_answer(connection, number)
            except OSError as problem:
                return [
                    *mistakes,
                    f"the broker closed the connection or does not answer at a message to {topic}: "
                    f"{problem or 'closed'}",
                ]
            if reason.is_failure:
                mistakes.append(str(refusal(f"may not publish to {topic}", reason)))
        return mistakes

    def _wait(self, condition: Callable[[], bool], timeout: float) -> None:
        until = time.monotonic() + timeout
        while not condition() and not self._hung_up and time.monotonic() < until:
            self._client.loop(_TURN_S)

    def _on_connect(
        self, client: Client, userdata: object, flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._reason = reason
        for name in _LIMITS:
            value = getattr(properties, name, None)
            # The value 1 means that retained messages are available, which is normal and needs no text.
            if value is not None and not (name == "RetainAvailable" and value):
                self._limits[name] = value

    def _on_disconnect(
        self, client: Client, userdata: object, flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._hung_up = True

    def _on_subscribe(
        self, client: Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        self._subscribed[mid] = reasons


def _publish_packet(number: int, topic: str) -> bytes:
    """Return the packet of an empty MQTT 5 message with QoS 2."""
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name + struct.pack("!H", number) + _EXPIRES_AFTER_1_S
    return bytes([_PUBLISH]) + _variable(len(body)) + body


def _variable(number: int) -> bytes:
    """Return a length in MQTT's variable encoding: 7 bits per byte, the lowest first."""
    encoded = bytearray()
    while True:
        number, low = divmod(number, 128)
        encoded.append(low | (0x80 if number else 0))
        if not number:
            return bytes(encoded)


def _read_answer(connection: socket.socket, number: int) -> ReasonCode:
    """Return the broker's answer to a message; other packets are skipped."""
    while True:
        kind, body = _read_packet(connection)
        if kind == PacketTypes.PUBREC and body[:2] == struct.pack("!H", number):
            return _reason(PacketTypes.PUBREC, body[2:3])
        if kind == PacketTypes.DISCONNECT:
            raise ConnectionResetError(_reason(kind, body[:1]).getName())


def _reason(kind: int, code: bytes) -> ReasonCode:
    """Return the reason code of a packet; a packet without a code means success."""
    try:
        return ReasonCode(kind, identifier=code[0] if code else 0)
    except KeyError:
        return ReasonCode(kind, "Unspecified error")


def _read_packet(connection: socket.socket) -> tuple[int, bytes]:
    kind = _read(connection, 1)[0] >> 4
    length = shift = 0
    while True:
        byte = _read(connection, 1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 or shift > 21:
            return kind, _read(connection, length)


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionResetError("the broker closed the connection")
        data += more
    return data
