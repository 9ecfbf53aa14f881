"""The limits that a broker announces in CONNACK."""

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
    """Receive maximum: largest number of messages with QoS 1 that are sent and not yet acknowledged."""
    packet: int | None = None
    """Largest size of a packet in bytes; `None`: no limit."""
    qos: int = 1
    """Highest QoS that the broker accepts, but at most 1, which is the highest used here."""
    retain: bool = True
    """Whether the broker accepts retained messages."""
    client_id: str | None = None
    """Client id that the broker has assigned; `None`: it accepts the client's own id."""

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
