"""What a station says beside its parts: its status, its health, replies to commands, and pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, NamedTuple

from edge_inspect.edge.contract.commands import Reply, ReturnAddress
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.mqtt.in_flight import Token

Schema = Literal["status", "health", "reply", "image"]
# Of each kind, the newest so many wait for the broker.
_KEPT: dict[Schema, int] = {"status": 16, "health": 1, "reply": 256, "image": 8}


class Picture(NamedTuple):
    """A picture that a command asked for."""

    topic: str
    jpeg: bytes


class Notice(NamedTuple):
    """One message, and what names it on its way."""

    schema: Schema
    topic: str
    content: Status | Health | Reply | Picture
    token: Token
    back: ReturnAddress | None = None
    """Of a reply: who else wants it."""

    @property
    def payload(self) -> bytes:
        """What is sent."""
        return self.content.jpeg if isinstance(self.content, Picture) else self.content.to_json()

    def shortened(self) -> Notice:
        """Return the same without its reason, which is what can make it long."""
        if isinstance(self.content, Status | Reply):
            return self._replace(content=self.content.model_copy(update={"reason": None}))
        return self


class Notices:
    """Keeps each notice until the broker has it, over lost connections too. May be used by several threads.

    Args:
        topics: Of the station.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._lock = threading.Lock()
        # In the order in which they are sent.
        self._waiting: dict[Token, Notice] = {}
        self._sent: set[Token] = set()
        self._without_reason: Status | None = None

    def add_status(self, status: Status) -> None:
        """Have a status published, after those before it."""
        self._add(Notice("status", self._topics.status, status, ("status", status.id)))

    def add_health(self, health: Health) -> None:
        """Have health published, instead of one that still waits."""
        self._add(Notice("health", self._topics.health, health, ("health", health.id)))

    def add_reply(self, reply: Reply, back: ReturnAddress | None = None) -> None:
        """Have a reply published, after those and the pictures before it."""
        self._add(Notice("reply", self._topics.reply, reply, ("reply", reply.id), back))

    def add_picture(self, topic: str, jpeg: bytes) -> None:
        """Have a picture published."""
        self._add(Notice("image", topic, Picture(topic, jpeg), ("image", topic)))

    def shorten(self, status: Status) -> None:
        """Say this status without its reason, now and whenever it is repeated: the broker does not take it."""
        if status.reason is not None:
            self._without_reason = status
            self.add_status(status.model_copy(update={"id": uuid7(), "reason": None}))

    def begin_anew(self, status: Status, sequence: int) -> None:
        """Send again, over a new connection, what may not have arrived, with the status that holds.

        Args:
            status: That holds; one that was set longer ago says by now too little of the station's parts.
            sequence: Of the station's newest part.
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
        """Return the next one that may be sent; it counts as sent."""
        with self._lock:
            for token, notice in self._waiting.items():
                if token not in self._sent and may_send(token):
                    self._sent.add(token)
                    return notice
        return None

    @property
    def are_due(self) -> bool:
        """Whether a status or a reply has not been acknowledged yet."""
        with self._lock:
            return any(notice.schema in ("status", "reply") for notice in self._waiting.values())

    def remove(self, token: Token) -> Notice | None:
        """Forget one: the broker has it, or never takes it."""
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
    """Return whether they tell the same change, of another part perhaps, or without its reason."""
    return (one.state, one.at) == (other.state, other.at)
