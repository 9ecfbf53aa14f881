"""Notices: the messages of a station that are not about parts (status, health, replies to commands, pictures)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, NamedTuple

from edge_inspect.edge.contract.commands import ReturnAddress
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.mqtt.in_flight import Token

Schema = Literal["status", "health", "reply", "image"]
# Largest number of waiting notices of each kind; older ones are dropped.
_KEPT: dict[Schema, int] = {"status": 16, "health": 1, "reply": 256, "image": 8}


class Picture(NamedTuple):
    """A picture that the command `snapshot` asked for."""

    topic: str
    jpeg: bytes


class Notice(NamedTuple):
    """One message, and the token that names it until it is acknowledged."""

    schema: Schema
    topic: str
    content: Status | Health | Reply | Picture
    token: Token
    back: ReturnAddress | None = None
    """Return address of a reply's requester; `None` if it gave none."""

    @property
    def payload(self) -> bytes:
        """Bytes to send."""
        return self.content.jpeg if isinstance(self.content, Picture) else self.content.to_json()

    def shortened(self) -> Notice:
        """Return the notice without its reason: no other field can be long."""
        if isinstance(self.content, Status | Reply):
            return self._replace(content=self.content.model_copy(update={"reason": None}))
        return self


class Notices:
    """Keeps each notice until the broker has acknowledged it, also over lost connections. Thread-safe.

    Args:
        topics: Topics of the station.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._lock = threading.Lock()
        # In the order in which they are sent.
        self._waiting: dict[Token, Notice] = {}
        self._sent: set[Token] = set()
        self._without_reason: Status | None = None

    def add_status(self, status: Status) -> None:
        """Publish a status after earlier ones."""
        self._add(Notice("status", self._topics.status, status, ("status", status.id)))

    def add_health(self, health: Health) -> None:
        """Publish health; an older one that still waits is dropped."""
        self._add(Notice("health", self._topics.health, health, ("health", health.id)))

    def add_reply(self, reply: Reply, back: ReturnAddress | None = None) -> None:
        """Publish a reply after earlier replies and pictures."""
        self._add(Notice("reply", self._topics.reply, reply, ("reply", reply.id), back))

    def add_picture(self, topic: str, jpeg: bytes) -> None:
        """Publish a picture."""
        self._add(Notice("image", topic, Picture(topic, jpeg), ("image", topic)))

    def shorten(self, status: Status) -> None:
        """Publish a status without its reason, now and whenever it is repeated: the broker does not accept it."""
        if status.reason is not None:
            self._without_reason = status
            self.add_status(status.model_copy(update={"id": uuid7(), "reason": None}))

    def start_connection(self, status: Status, sequence: int) -> None:
        """Prepare a new connection: send the present status, and again all notices that may not have arrived.

        Args:
            status: Present status; its sequence number may be out of date.
            sequence: Sequence number of the station's newest part.
        """
        changes: dict[str, object] = {} if status.sequence == sequence else {"sequence": sequence}
        if self._without_reason is not None and _say_the_same(self._without_reason, status):
            changes["reason"] = None
        now = status.model_copy(update={"id": uuid7(), **changes}) if changes else status
        with self._lock:
            self._sent.clear()
            old = [
                notice
                for notice in self._waiting.values()
                if notice.schema == "status" and not _repeats(notice, status)
            ]
            others = [notice for notice in self._waiting.values() if notice.schema in ("reply", "image")]
            again = Notice("status", self._topics.status, now, ("status", now.id))
            self._waiting = {notice.token: notice for notice in (*old, again, *others)}

    def next(self, may_send: Callable[[Token], bool] = lambda token: True) -> Notice | None:
        """Return the next notice that may be sent, and mark it as sent; `None` if there is none."""
        with self._lock:
            for token, notice in self._waiting.items():
                if token not in self._sent and may_send(token):
                    self._sent.add(token)
                    return notice
        return None

    @property
    def are_due(self) -> bool:
        """Whether a status or a reply is not acknowledged yet."""
        with self._lock:
            return any(notice.schema in ("status", "reply") for notice in self._waiting.values())

    def remove(self, token: Token) -> Notice | None:
        """Remove a notice that the broker has acknowledged, or will never accept; return it."""
        with self._lock:
            self._sent.discard(token)
            return self._waiting.pop(token, None)

    def _add(self, notice: Notice) -> None:
        with self._lock:
            self._waiting.pop(notice.token, None)
            self._sent.discard(notice.token)
            self._waiting[notice.token] = notice
            alike = [token for token, each in self._waiting.items() if each.schema == notice.schema]
            for token in alike[: -_KEPT[notice.schema]]:
                del self._waiting[token]


def _repeats(notice: Notice, status: Status) -> bool:
    return isinstance(notice.content, Status) and _say_the_same(notice.content, status)


def _say_the_same(one: Status, other: Status) -> bool:
    """Return whether two statuses report the same change of state; sequence and reason may differ."""
    return (one.state, one.at) == (other.state, other.at)
