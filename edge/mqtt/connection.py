"""One connection to the broker: client id, TLS, credentials, properties, and what a refusal means.

paho is used without its threads and without its queue: a client lives as long as one connection.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_inspect.edge.configuration.settings import MqttSettings, TlsSettings
from edge_inspect.edge.contract.fields import CONTRACT_VERSION
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.identity import box_id
from edge_inspect.edge.mqtt.credentials import read_password, tls_context
from edge_inspect.edge.mqtt.failure import explain, explain_alert

MQTT5 = MQTTProtocolVersion.MQTTv5
MQTT311 = MQTTProtocolVersion.MQTTv311
# Commands come in, and to the bridge verdicts and defects. What is above a command's own limit is refused with a reply,
# what is above this by the broker.
_LARGEST_INCOMING = 2**18

# paho does not annotate these.
_new_properties: Callable[[int], Properties] = Properties
_pack: Callable[[Properties], bytes] = Properties.pack

# What a person can do about a reason code. These do not pass by themselves, so they are retried slowly.
_REMEDIES = {
    0x84: "the broker does not speak this MQTT: set mqtt.protocol to 3.1.1, or to auto",
    0x85: "another client id is wanted: set mqtt.client_id as the broker's rules ask",
    0x86: "check mqtt.username and the password file against the broker's user list",
    0x87: "check mqtt.username and the password file, and that the broker's access list lets this user publish",
    0x8A: "the broker bans this client: look at its configuration",
    0x8C: "the broker wants another way of authentication: use a password or a client certificate",
    0x8E: "another client uses this client id: see that no other box, nor a copy of this one, is the same station",
    0x90: "the broker does not take this topic: look at its access list",
    0x95: "raise the broker's limit for packets",
    0x97: "raise the broker's quota",
    0x99: "the broker checks payloads: let it take JSON",
    0x9A: "the broker keeps no retained messages: set mqtt.retain to false, or let this user retain",
    0x9B: "the broker takes QoS 0 only: let it take QoS 1",
}
# These tell nothing, and may pass by themselves.
_UNEXPLAINED = dict.fromkeys((0x80, 0x83), "the broker's log may say why")
# A broker that stops, is busy or over its quota, or lets another client in, does not mind what was sent last.
_NOT_OF_A_MESSAGE = {0x00, 0x04, 0x88, 0x89, 0x8B, 0x8D, 0x8E, 0x97, 0x98, 0x9C, 0x9D, 0x9F, 0xA0}


class ConnectionProblem(Exception):
    """A connection could not be made, or ended; the message is for the log and holds no secret.

    Args:
        message: what happened.
        slow: it will not pass by itself, so the next attempt can wait.
        code: the broker's reason code; `None` where it gave none.
        hung_up: the broker ended the connection, or answered with bytes that are no MQTT; it was not silent.
        of_message: what was sent last may be why: the broker hung up, or answered no more.
    """

    def __init__(
        self,
        message: str,
        *,
        slow: bool = False,
        code: int | None = None,
        hung_up: bool = False,
        of_message: bool = False,
    ) -> None:
        super().__init__(message)
        self.slow = slow
        self.code = code
        self.hung_up = hung_up
        self.of_message = of_message


def refusal(what: str, reason: ReasonCode) -> ConnectionProblem:
    """Return the problem that a reason code of the broker means."""
    return ConnectionProblem(
        f"{what}: {describe_reason(reason)}",
        slow=reason.value in _REMEDIES,
        code=reason.value,
        of_message=reason.value not in _NOT_OF_A_MESSAGE,
    )


def describe_reason(reason: ReasonCode) -> str:
    """Return a reason code in words, with what can be done about it."""
    remedy = _REMEDIES.get(reason.value) or _UNEXPLAINED.get(reason.value)
    return f"{reason.getName()} (0x{reason.value:02x})" + (f"; {remedy}" if remedy else "")


def client_id(topics: Topics) -> str:
    """Return the id of a station's client: the same at every start, another one on every box."""
    return f"edge-inspect-{topics.site}-{topics.line}-{topics.station}-{box_id()}"


def new_client(name: str, protocol: MQTTProtocolVersion, settings: MqttSettings) -> Client:
    """Return a client that is ready to connect.

    Raises:
        ConnectionProblem: a credential cannot be read or used.
    """
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=name,
        protocol=protocol,
        clean_session=None if protocol == MQTT5 else True,
        reconnect_on_failure=False,
    )
    client.connect_timeout = settings.connect_timeout_s
    # The publisher's window is the only one.
    client.max_inflight_messages_set(0)
    try:
        if settings.username is not None:
            file = settings.password_file
            client.username_pw_set(settings.username, read_password(file) if file is not None else None)
        if settings.tls is not None:
            client.tls_set_context(_secure_context(settings, settings.tls))
    except ConfigurationError as problem:
        raise ConnectionProblem(str(problem), slow=True) from None
    return client


def connect(client: Client, protocol: MQTTProtocolVersion, settings: MqttSettings) -> None:
    """Send CONNECT.

    Raises:
        ConnectionProblem: nobody answers, or the certificates do not fit.
    """
    try:
        if protocol == MQTT5:
            properties = _new_properties(PacketTypes.CONNECT)
            properties.MaximumPacketSize = _LARGEST_INCOMING
            client.connect(settings.host, settings.port, settings.keepalive_s, clean_start=True, properties=properties)
        else:
            client.connect(settings.host, settings.port, settings.keepalive_s)
    except (OSError, UnicodeError) as problem:
        # What the broker or the files have to be changed for does not pass by itself.
        slow = isinstance(problem, ssl.SSLError) and not isinstance(problem, ssl.SSLEOFError)
        raise ConnectionProblem(explain(problem, settings), slow=slow) from problem


def message_properties(schema: str, expiry_s: int | None = None, correlation: bytes | None = None) -> Properties:
    """Return the MQTT 5 properties of a message of the contract."""
    properties = _new_properties(PacketTypes.PUBLISH)
    _describe(properties, schema)
    if correlation is not None:
        properties.CorrelationData = correlation
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    # paho packs them anew for every message, a quarter of all the time that publishing takes; they never change.
    packed = _pack(properties)
    object.__setattr__(properties, "pack", lambda: packed)
    return properties


def packed_size(properties: Properties) -> int:
    """Return the bytes that properties take in a packet."""
    return len(_pack(properties))


def will_properties(schema: str) -> Properties:
    """Return the MQTT 5 properties of the last will."""
    properties = _new_properties(PacketTypes.WILLMESSAGE)
    _describe(properties, schema)
    return properties


def _describe(properties: Properties, schema: str) -> None:
    if schema == "image":
        properties.ContentType = "image/jpeg"
        return
    properties.PayloadFormatIndicator = 1
    properties.ContentType = "application/json"
    properties.UserProperty = ("schema", f"{schema}/{CONTRACT_VERSION}")


def _secure_context(settings: MqttSettings, tls: TlsSettings) -> ssl.SSLContext:
    """Return what paho makes the connection's TLS with."""

    class TlsSocket(ssl.SSLSocket):
        """Closes itself when the handshake fails; paho drops it open. And says what paho swallows."""

        def do_handshake(self, block: bool = False) -> None:
            try:
                super().do_handshake(block)
            except BaseException:
                self.close()
                raise

        def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
            # With TLS 1.3 the broker refuses this box's certificate after the handshake.
            try:
                return super().recv(buflen, flags)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as problem:
                raise ConnectionProblem(explain_alert(problem, settings), slow=True) from problem

        def send(self, data: Any, flags: int = 0) -> int:
            try:
                return super().send(data, flags)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except OSError:
                # The broker has hung up already; what it said before can still be read.
                with contextlib.suppress(OSError):
                    self.recv(1)
                raise

    context = tls_context(tls)
    context.sslsocket_class = TlsSocket
    return context
