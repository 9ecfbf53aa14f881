"""A client that is ready to connect, and its CONNECT.

paho is used without its threads and without its queue: a client lives as long as one connection.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

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
# Commands come in, and to the bridge verdicts and defects. What is above a command's own limit is refused with a reply,
# what is above this by the broker.
_LARGEST_INCOMING = 2**18

# paho does not annotate it.
_new_properties: Callable[[int], Properties] = Properties


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
            client.tls_set_context(secure_context(settings, settings.tls))
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
