"""What a broker announces in CONNACK that it does without, or takes no more of."""

from __future__ import annotations

from typing import NamedTuple

from paho.mqtt.properties import Properties


class Limits(NamedTuple):
    """A broker's limits for one connection; MQTT 3.1.1 announces none.

    Of the other properties of CONNACK, paho follows the server keep alive. Topic aliases, wildcard and shared
    subscriptions, subscription identifiers and sessions that outlive their connection are not used here, so whether the
    broker offers them makes no difference.
    """

    window: int = 0xFFFF
    """Messages with QoS 1 that may be sent and not yet acknowledged: the receive maximum."""
    packet: int | None = None
    """Bytes that a packet may have."""
    qos: int = 1
    """The highest quality of service that may be published with, as far as it is used here."""
    retain: bool = True
    """Messages may be retained."""
    client_id: str | None = None
    """What the broker calls this client, where it does not take the id that the client has."""

    @classmethod
    def read(cls, properties: Properties | None) -> Limits:
        """Return the limits that the properties of a CONNACK announce."""
        return cls(
            window=getattr(properties, "ReceiveMaximum", cls().window),
            packet=getattr(properties, "MaximumPacketSize", None),
            qos=min(1, getattr(properties, "MaximumQoS", 1)),
            retain=bool(getattr(properties, "RetainAvailable", 1)),
            client_id=getattr(properties, "AssignedClientIdentifier", None),
        )
