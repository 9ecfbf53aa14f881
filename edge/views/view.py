"""One view: a station that is followed, with its messages in order and without repeats."""

from __future__ import annotations

import logging

from edge_inspect.edge.bridge.received_messages import ReceivedPart, ReceivedReply, StatusOrHealth
from edge_inspect.edge.bridge.reorder_buffer import OrderedPart, ReorderBuffer, SequencePosition
from edge_inspect.edge.bridge.resend_requests import ResendRequests
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import Defect, Status, Verdict
from edge_inspect.edge.contract.received_messages import UnreadableMessage, read_message
from edge_inspect.edge.contract.topics import Topics

log = logging.getLogger(__name__)


class FollowedView:
    """Follows the station of one view. Not thread-safe.

    Args:
        name: Name of the view.
        topics: Topics of its station.
        position: How far the station was followed when the last process ended.
        hold_s: Longest time that a verdict waits for a missing one before it, or for its own defect, in seconds.

    Attributes:
        health: Newest health of the station; `None` before the first.
        state: State of the station by its last status; `unknown` before the first, and without a connection.
        changed: Messages that have come and must be stored, by id of the verdict and kind; `None`: to be deleted.
    """

    def __init__(self, name: str, topics: Topics, position: SequencePosition, hold_s: float) -> None:
        self.name, self.topics = name, topics
        self.buffer = ReorderBuffer(position, hold_s)
        self._requests = ResendRequests(f"{topics.site}/{topics.line}/{topics.station}", self.buffer, by="views")
        self._waiting: dict[str, Verdict] = {}
        self.health: Health | None = None
        self.state = "unknown"
        self.changed: dict[tuple[str, str], bytes | None] = {}

    def disconnect(self) -> None:
        """Note that the connection to the broker was lost."""
        self.state = "unknown"
        self._requests.forget()

    def receive(self, kind: str, payload: bytes, now: float, *, retained: bool) -> list[Verdict]:
        """Take a message of the station; return the verdicts that can be used now, each once and in order.

        A message that cannot be read is logged and left out; the station is then asked for the part again.

        Args:
            kind: Last level of the message's topic.
            payload: The message.
            now: Seconds of the monotonic clock.
            retained: Whether the broker had retained the message.
        """
        try:
            if kind == "reply":
                self._requests.answer(ReceivedReply.model_validate_json(payload), now)
                return []
            message = read_message(kind, payload)
            if isinstance(message, Verdict):
                return self._take(message, ReceivedPart.model_validate_json(payload), payload, now)
            announced = StatusOrHealth.model_validate_json(payload)
        except (UnreadableMessage, ValueError) as error:
            log.error("view %s: a %s cannot be read: %s", self.name, kind, str(error).splitlines()[0])
            return []
        if isinstance(message, Health):
            self.health = message
        elif isinstance(message, Status):
            self.state = message.state
            if self.state == "offline":
                self._requests.forget()
        return self._used(self.buffer.announce(announced, retained=retained))

    def release(self, now: float) -> list[Verdict]:
        """Return the verdicts that have waited long enough; call this every few milliseconds."""
        return self._used(self.buffer.release(now))

    def ask(self, now: float) -> bytes | None:
        """Return the next command `resend` for the station; `None` if there is nothing to send."""
        return None if self.state == "offline" else self._requests.ask(now)

    def _take(self, message: Verdict, part: ReceivedPart, payload: bytes, now: float) -> list[Verdict]:
        known = self._waiting.get(message.id)
        if known is None or isinstance(message, Defect):
            self._waiting[message.id] = message
            self.changed[message.id, "defect" if isinstance(message, Defect) else "verdict"] = payload
        repeats = self.buffer.repeats
        released = self.buffer.take(part, now)
        if self.buffer.repeats > repeats and known is None:
            self._remove(message.id)
        return self._used(released)

    def _used(self, released: list[OrderedPart]) -> list[Verdict]:
        return [message for ordered in released if (message := self._remove(ordered.part.id)) is not None]

    def _remove(self, identity: str) -> Verdict | None:
        for kind in ("verdict", "defect"):
            self.changed[identity, kind] = None
        return self._waiting.pop(identity, None)
