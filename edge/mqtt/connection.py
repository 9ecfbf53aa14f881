"""The paho client of one connection, and its CONNECT.

paho is used without its threads and its queue, and a client is used for one connection only.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import NamedTuple

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.mqtt.credentials import read_password
from edge_inspect.edge.mqtt.failure import explain
from edge_inspect.edge.mqtt.problem import ConnectionProblem
from edge_inspect.edge.mqtt.tls import secure_context

MQTT5 = MQTTProtocolVersion.MQTTv5
MQTT311 = MQTTProtocolVersion.MQTTv311


class Receiving(NamedTuple):
    """What a client receives, and what the broker keeps for it.

    Attributes:
        largest: Largest packet that the broker may send, in bytes. The broker drops a larger one. Stations receive
            commands, and the bridge receives verdicts and defects.
        kept_s: Seconds for which the broker keeps the client's subscriptions, and messages with QoS 1, after the
            connection has ended. With MQTT 3.1.1 the broker decides for how long. 0: it keeps nothing.
        window: Number of messages that the broker may send before one of them is acknowledged. With MQTT 3.1.1 the
            broker decides. `None`: as many as MQTT allows.
    """

    largest: int = 2**18
    kept_s: int = 0
    window: int | None = None


RECEIVING = Receiving()

# paho does not annotate it.
_new_properties: Callable[[int], Properties] = Properties


def new_client(
    name: str, protocol: MQTTProtocolVersion, settings: MqttSettings, receiving: Receiving = RECEIVING
) -> Client:
    """Return a client that is ready to connect.

    Raises:
        ConnectionProblem: A credential cannot be read or used.
    """
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=name,
        protocol=protocol,
        clean_session=None if protocol == MQTT5 else not receiving.kept_s,
        reconnect_on_failure=False,
    )
    client.connect_timeout = settings.connect_timeout_s
    # The publisher limits the messages in flight by its own window, so paho's limit is switched off.
    client.max_inflight_messages_set(0)
    try:
        if settings.username is not None:
            file = settings.password_file
            client.username_pw_set(settings.username, read_password(file) if file is not None else None)
        if settings.tls is not None:
            client.tls_set_context(secure_context(settings, settings.tls))
    except ConfigurationError as problem:
        raise ConnectionProblem(str(problem), slow=True) from None
    return client


def connect(
    client: Client, protocol: MQTTProtocolVersion, settings: MqttSettings, receiving: Receiving = RECEIVING
) -> None:
    """Send CONNECT.

    Raises:
        ConnectionProblem: The broker does not answer, or a certificate is refused.
    """
    try:
        if protocol == MQTT5:
            properties = _new_properties(PacketTypes.CONNECT)
            properties.MaximumPacketSize = receiving.largest
            if receiving.window is not None:
                properties.ReceiveMaximum = receiving.window
            if receiving.kept_s:
                properties.SessionExpiryInterval = receiving.kept_s
            client.connect(
                settings.host,
                settings.port,
                settings.keepalive_s,
                clean_start=not receiving.kept_s,
                properties=properties,
            )
        else:
            client.connect(settings.host, settings.port, settings.keepalive_s)
    except (OSError, UnicodeError) as problem:
        # A TLS error remains until a person changes the broker or the files, so it is retried slowly.
        slow = isinstance(problem, ssl.SSLError) and not isinstance(problem, ssl.SSLEOFError)
        raise ConnectionProblem(explain(problem, settings), slow=slow) from problem
