"""Requests to a station to send missing parts again: how many at a time, when again, and when parts are lost."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from edge_inspect.edge.bridge.received_messages import ReceivedReply
from edge_inspect.edge.bridge.reorder_buffer import ReorderBuffer
from edge_inspect.edge.contract.ids import uuid7_of_now

log = logging.getLogger(__name__)

# A part has at most two messages, and mosquitto keeps by default 1000 messages for a slow subscriber.
_AT_ONCE = 250
# Wait this long before asking: a gap often closes by itself, because a message is still on its way.
_GAP_S = 0.1
# A station announces parts that still wait in its outbox. If no part comes for this long, the announced ones are
# overdue.
_OVERDUE_S = 1.0
_ANSWER_S = 5.0
_ATTEMPTS = 4
_LONGEST_PAUSE_S = 30.0
_NO_ANSWER = (
    "the station did not answer; check that the broker lets the {} write the station's topic command and read reply"
)
_SENT_AGAIN = "the station agreed to send them; check that the broker lets the {} read its topics verdict and defect"


@dataclass
class _Request:
    first: int
    last: int
    command_id: str
    left: int
    since: float
    granted: bool = False


class ResendRequests:
    """Makes the commands `resend` for one station, one request at a time.

    The newest missing parts are requested first. A station's history reaches back from now, so if a part is no longer
    in it, all older parts are gone too.

    Parts are lost when the station's history begins after them, or when four requests in a row were refused as
    impossible or brought no part. Parts are not lost because the station does not answer, is busy, or refuses for a
    reason that a person can remove; nor while its outbox drains, because requested parts are sent after that.

    Args:
        name: Name of the station for the log.
        buffer: Buffer that knows the missing parts.
        by: Name of the program that asks, for the station's log.
    """

    def __init__(self, name: str, buffer: ReorderBuffer, by: str = "bridge") -> None:
        self._name, self._buffer, self._by = name, buffer, by
        self._request: _Request | None = None
        self._attempts = 0
        self._for_announced = False
        self._not_before = 0.0
        self._gap_since: float | None = None
        # Highest part that has come while announced parts are expected, and since when.
        self._progress: tuple[int, float] = (-1, 0.0)
        self._is_overdue = False

    @property
    def overdue(self) -> int:
        """Number of announced parts that have not come although no part came for 1 s; 0 once all of them have come."""
        return self._buffer.behind if self._is_overdue else 0

    def forget(self) -> None:
        """Forget the request: the bridge or the station has lost its connection, so no answer will come."""
        self._request = None
        self._gap_since = None
        self._progress = (-1, 0.0)

    def ask(self, now: float) -> bytes | None:
        """Return the next command to send; `None` if it is not time yet. Call this while the station is connected.

        Args:
            now: Seconds of the monotonic clock.
        """
        self._watch_announced(now)
        if self._request is not None and not self._is_finished(self._request, now):
            return None
        range_ = self._next_range(now)
        if range_ is None or now < self._not_before:
            return None
        if self._for_announced != (for_announced := range_[0] > self._buffer.highest):
            self._for_announced, self._attempts = for_announced, 0
        command_id = uuid7_of_now()
        self._request = _Request(*range_, command_id, self._count_missing(*range_), now)
        log.info("%s: parts %d to %d are missing; asking the station to send them again", self._name, *range_)
        fields = {"contract": 1, "command": "resend", "id": command_id, "by": self._by}
        return json.dumps({**fields, "from_sequence": range_[0], "to_sequence": range_[1]}).encode()

    def answer(self, reply: ReceivedReply, now: float) -> None:
        """Take a reply of the station; replies to other commands are ignored."""
        request = self._request
        if request is None or reply.command_id != request.command_id:
            return
        if reply.done and reply.resend is not None:
            if reply.resend.first > request.first:
                self._give_up(
                    reply.resend.first - 1,
                    "the station's history begins later; raise outbox.history_bytes in its configuration to keep more",
                )
            # The rest of the request was not in the history yet. It is requested when these parts have come.
            request.first, request.last = reply.resend.first, reply.resend.last
            request.left, request.since, request.granted = self._count_missing(request.first, request.last), now, True
            return
        self._request = None
        self._try_later(now)
        if reply.refusal == "busy":
            self._attempts = 0
            log.info("%s: the station is busy, the request is repeated later: %s", self._name, reply.reason)
        elif reply.refusal != "impossible":
            log.error(
                "%s: the station refuses to send parts again: %s: %s; its configuration's commands.allow must name "
                "resend, and the clocks of both machines must be right",
                self._name,
                reply.refusal,
                reply.reason,
            )
        elif self._attempts >= _ATTEMPTS:
            self._give_up(request.last, reply.reason or "")

    def _watch_announced(self, now: float) -> None:
        """Note since when no part has come although parts are announced."""
        behind, highest = self._buffer.behind, self._buffer.highest
        if not behind or highest != self._progress[0]:
            self._progress = (highest, now)
        self._is_overdue = behind > 0 and (self._is_overdue or now >= self._progress[1] + _OVERDUE_S)

    def _is_finished(self, request: _Request, now: float) -> bool:
        """Return whether all parts of a request have come, or none has come for too long."""
        left = self._count_missing(request.first, request.last)
        if left < request.left:
            request.left, request.since = left, now
            self._attempts = 0
        draining = self._buffer.behind and now < self._progress[1] + _OVERDUE_S
        if left and (now < request.since + _ANSWER_S or draining):
            return False
        self._request = None
        if not left and self._for_announced and self._buffer.behind:
            # More announced parts are missing: request them at once.
            self._progress = (self._buffer.highest, float("-inf"))
        if left:
            self._try_later(now)
            why = (_SENT_AGAIN if request.granted else _NO_ANSWER).format(self._by)
            log.warning("%s: parts %d to %d did not come: %s", self._name, request.first, request.last, why)
            if request.granted and self._attempts >= _ATTEMPTS:
                self._give_up(request.last, "the station does not have them any more", request.first)
        return True

    def _next_range(self, now: float) -> tuple[int, int] | None:
        """Return the first and last part to request: the newest missing parts, else overdue parts, else `None`."""
        missing, highest = self._buffer.missing, self._buffer.highest
        if not len(missing):
            self._gap_since = None
        elif self._gap_since is None:
            self._gap_since = now
        if self._gap_since is not None:
            if now < self._gap_since + _GAP_S:
                return None
            last = missing.last()
            return missing.from_(last - _AT_ONCE + 1), last
        if self._buffer.behind and now >= self._progress[1] + _OVERDUE_S:
            return highest + 1, min(highest + _AT_ONCE, self._buffer.announced)
        return None

    def _count_missing(self, first: int, last: int) -> int:
        """Return how many of the parts `first` to `last` have not come."""
        return self._buffer.missing.count(first, last) + max(0, last - max(first - 1, self._buffer.highest))

    def _give_up(self, last: int, why: str, first: int = 0) -> None:
        if lost := self._buffer.give_up(first, last):
            self._attempts = 0
            log.error("%s: %d part(s) up to number %d are lost: %s", self._name, lost, last, why)

    def _try_later(self, now: float) -> None:
        self._not_before = now + min(_LONGEST_PAUSE_S, 2.0**self._attempts)
        self._attempts += 1
