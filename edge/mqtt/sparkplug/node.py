"""A Sparkplug edge node: its topics, its sequence numbers, and the payloads of its birth, data and death."""

from __future__ import annotations

import json
import time
from typing import NamedTuple

from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.mqtt.sparkplug.metrics import MODELS, definitions, milliseconds, read
from edge_inspect.edge.mqtt.sparkplug.payload import DataType, Metric, Value, encode

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
COMMAND = "Node Control/Command"
PICTURE = "image/jpeg"
_PICTURE_ID = "image/id"
_BD_SEQ = "bdSeq"
# After this number of connections that end at their birth, the next birth contains no values.
_FAILED_BIRTHS = 3
_NUMBERS = 256
"""bdSeq and seq count from 0 to 255."""
# Name of the field with a message's time; other messages have `at`.
_TIMES = {"verdict": "decided_at", "defect": "decided_at"}


class Reading(NamedTuple):
    """A metric's current value, and the time at which it was set, in milliseconds since 1970."""

    value: Value | None
    timestamp: int


class EdgeNode:
    """One station as an edge node. It exists as long as its publisher, over all connections. Not thread-safe.

    Args:
        topics: Topics of the station; the site is the group, line and station together are the node.
    """

    def __init__(self, topics: Topics) -> None:
        self._group, self._name = topics.site, f"{topics.line}:{topics.station}"
        self._definitions = {schema: definitions(schema) for schema in MODELS}
        self._readings: dict[str, Reading] = {}
        self._live_up_to = dict.fromkeys(("verdict", "defect"), 0)
        self.host_heard_at = 0
        """Newest timestamp of a STATE message from the primary host, in milliseconds since 1970."""
        self._unconfirmed_births = 0
        self._bd_seq = -1
        self._seq = 0

    def topic(self, verb: str) -> str:
        """Return the node's topic of a message type: NBIRTH, NDATA, NDEATH or NCMD."""
        return f"{NAMESPACE}/{self._group}/{verb}/{self._name}"

    def will(self) -> bytes:
        """Return the payload of the next connection's last will, an NDEATH with the next bdSeq."""
        return self._death(self._next_bd_seq())

    def connect(self) -> None:
        """Note that CONNECT was sent: from now on births and deaths contain the bdSeq of its last will."""
        self._bd_seq = self._next_bd_seq()

    def death(self) -> bytes:
        """Return the payload of an NDEATH that the station publishes itself."""
        return self._death(self._bd_seq)

    def birth(self, newest: int | None = None) -> bytes:
        """Return the payload of NBIRTH: every metric with its current value.

        Args:
            newest: Sequence number of the station's newest part, at the first birth of a connection; data of older
                parts is then sent as historical. `None` at a rebirth.
        """
        self._unconfirmed_births += 1
        if self._unconfirmed_births > _FAILED_BIRTHS:
            # A value that the broker does not accept would be in every birth. The next messages set the values again.
            self._readings.clear()
        if newest is not None:
            self._live_up_to = dict.fromkeys(self._live_up_to, newest - 1)
        now = _now()
        unread = Reading(None, now)
        known = {_PICTURE_ID: DataType.String}
        for of_schema in self._definitions.values():
            known |= of_schema
        metrics = [Metric(name, kind, *self._readings.get(name, unread)) for name, kind in known.items()]
        metrics += [
            Metric(PICTURE, DataType.Bytes, None, now, transient=True),
            Metric(COMMAND, DataType.String, None, now),
            Metric(REBIRTH, DataType.Boolean, False, now),
            Metric(_BD_SEQ, DataType.Int64, self._bd_seq, now),
        ]
        metrics.sort(key=lambda metric: metric.timestamp)
        self._seq = 0
        return encode(metrics, timestamp=now, seq=0, datatypes=True)

    def confirm_birth(self) -> None:
        """Note that the broker has confirmed a packet after the last birth, and so the birth."""
        self._unconfirmed_births = 0

    def data(self, schema: str, payload: bytes) -> bytes | None:
        """Return the payload of NDATA for a message of the contract; `None` if the message changes no metric.

        Live data contains only the metrics that have changed. Data of a part that is late or sent again contains all
        its metrics, is marked historical, and changes no current value.
        """
        message = json.loads(payload)
        kinds = self._definitions[schema]
        at = milliseconds(message[_TIMES.get(schema, "at")])
        values = {name: read(name, kind, message) for name, kind in kinds.items()}
        late = schema in self._live_up_to and message["sequence"] <= self._live_up_to[schema]
        if not late:
            values = {name: value for name, value in values.items() if self._changes(name, value)}
            self._readings |= {name: Reading(value, at) for name, value in values.items()}
            if schema in self._live_up_to:
                self._live_up_to[schema] = message["sequence"]
        return self._data([Metric(name, kinds[name], value, at, late) for name, value in values.items()])

    def picture(self, identity: str, jpeg: bytes) -> bytes | None:
        """Return the payload of NDATA with a picture."""
        now = _now()
        self._readings[_PICTURE_ID] = Reading(identity, now)
        return self._data(
            [
                Metric(_PICTURE_ID, DataType.String, identity, now),
                Metric(PICTURE, DataType.Bytes, jpeg, now, transient=True),
            ]
        )

    def _changes(self, name: str, value: Value | None) -> bool:
        known = self._readings.get(name)
        return (None if known is None else known.value) != value

    def _data(self, metrics: list[Metric]) -> bytes | None:
        if not metrics:
            return None
        self._seq = (self._seq + 1) % _NUMBERS
        return encode(metrics, timestamp=_now(), seq=self._seq, datatypes=False)

    def _next_bd_seq(self) -> int:
        return (self._bd_seq + 1) % _NUMBERS

    def _death(self, bd_seq: int) -> bytes:
        now = _now()
        return encode([Metric(_BD_SEQ, DataType.Int64, bd_seq, now)], timestamp=now, seq=None, datatypes=True)


def _now() -> int:
    return time.time_ns() // 1_000_000
