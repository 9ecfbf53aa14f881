"""How each kind of the contract's messages is sent: QoS, retained or not, and its MQTT 5 properties."""

from __future__ import annotations

from collections.abc import Callable

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_inspect.edge.contract.fields import CONTRACT_VERSION

DELIVERY = {
    "verdict": (1, False),
    "defect": (1, False),
    "status": (1, True),
    "reply": (1, False),
    "health": (0, True),
    "image": (0, False),
    "map": (0, False),
    "label": (1, False),
}
"""QoS of each kind of message, and whether it is retained."""

# paho does not annotate these.
_new_properties: Callable[[int], Properties] = Properties
_pack: Callable[[Properties], bytes] = Properties.pack
# Content types of the messages that are not JSON.
_PICTURES = {"image": "image/jpeg", "map": "image/png"}


class MessageProperties:
    """The properties of every kind of message, made once per connection. Used by one thread.

    Args:
        is_5: Whether the connection uses MQTT 5; MQTT 3.1.1 has no properties.
        expiry_s: Message expiry of verdicts and defects in seconds; `None`: they do not expire.
    """

    def __init__(self, *, is_5: bool, expiry_s: int | None) -> None:
        self._is_5, self._expiry_s = is_5, expiry_s
        self._known: dict[str, Properties] = {}
        self._sizes: dict[str | None, int] = {None: 0}

    def of(self, schema: str | None) -> Properties | None:
        """Return the properties of a kind of message; `None` if it has none."""
        if not self._is_5 or schema is None:
            return None
        if schema not in self._known:
            expires = schema in ("verdict", "defect")
            self._known[schema] = message_properties(schema, self._expiry_s if expires else None)
        return self._known[schema]

    def size(self, schema: str | None) -> int:
        """Return the number of bytes of a kind's properties in a packet."""
        if schema not in self._sizes:
            properties = self.of(schema)
            self._sizes[schema] = 0 if properties is None else len(_pack(properties))
        return self._sizes[schema]


def message_properties(schema: str, expiry_s: int | None = None, correlation: bytes | None = None) -> Properties:
    """Return the MQTT 5 properties of a message of the contract."""
    properties = _new_properties(PacketTypes.PUBLISH)
    _describe(properties, schema)
    if correlation is not None:
        properties.CorrelationData = correlation
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    # paho would pack them again for every message, which takes a quarter of the time for publishing. They never change.
    packed = _pack(properties)
    object.__setattr__(properties, "pack", lambda: packed)
    return properties


def will_properties(schema: str) -> Properties:
    """Return the MQTT 5 properties of the last will."""
    properties = _new_properties(PacketTypes.WILLMESSAGE)
    _describe(properties, schema)
    return properties


def _describe(properties: Properties, schema: str) -> None:
    if schema in _PICTURES:
        properties.ContentType = _PICTURES[schema]
        return
    properties.PayloadFormatIndicator = 1
    properties.ContentType = "application/json"
    properties.UserProperty = ("schema", f"{schema}/{CONTRACT_VERSION}")
