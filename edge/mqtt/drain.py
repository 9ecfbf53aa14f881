"""The drain: sends the messages of one station in order, over one connection after another."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.mqtt.broker import REMEMBERED_S
from edge_inspect.edge.mqtt.in_flight import Token
from edge_inspect.edge.mqtt.notices import Notice, Notices
from edge_inspect.edge.mqtt.problem import ConnectionProblem
from edge_inspect.edge.mqtt.resends import Resends
from edge_inspect.edge.mqtt.session import Session
from edge_inspect.edge.mqtt.suspicion import Suspicion
from edge_inspect.edge.outbox import Entry, Outbox

log = logging.getLogger(__name__)

# A suspected message is sent only after the connection has lasted this long.
_CALM_S = 0.5
# Health has QoS 0 and counts as accepted if the connection lasts for some seconds. While messages are sent one at a
# time, wait this long before the next health message: otherwise parts would wait for health for ever.
_HEALTH_PAUSE_S = 10.0


class Drain:
    """Sends a station's notices, the entries of its outbox, and requested parts. Used by the publisher's thread.

    An entry leaves the outbox when the broker has acknowledged it. After a lost connection the drain starts again at
    the oldest entry. If the broker refuses a topic, the entries of that topic wait until another connection. A message
    at which the broker ends the connection is set aside (edge/mqtt/suspicion.py).

    Args:
        topics: Topics of the station.
        outbox: Outbox, which all stations share.
        notices: Messages that are not about parts.
        resends: Requests to send parts again.
        on_set_aside: Called with a sentence when a message is set aside.
        long_calm_s: If no other message waits, a suspected message is tried again after the connection has lasted this
            long, in seconds.
    """

    def __init__(
        self,
        topics: Topics,
        outbox: Outbox,
        notices: Notices,
        resends: Resends,
        on_set_aside: Callable[[str], None],
        long_calm_s: float,
    ) -> None:
        self._station, self._name = topics.station, f"{topics.site}/{topics.line}/{topics.station}"
        self._outbox, self._notices, self._resends = outbox, notices, resends
        self._on_set_aside = on_set_aside
        self._long_calm_s = max(long_calm_s, 2 * _CALM_S)
        self._suspicion = Suspicion()
        self._entries: dict[Token, Entry] = {}
        self._sent_up_to = 0
        self._held: set[str] = set()
        self._held_said: set[str] = set()
        self._too_large_said: set[str] = set()
        # Kinds of notices that are not sent, each with the time at which that ends.
        self._withheld: dict[str, float] = {}
        self._health_taken_at = float("-inf")
        # Time at which the present connection began to accept messages; 0 before that.
        self._began = 0.0
        self.set_aside = 0
        """Number of messages set aside since the start."""
        self.held_since: float | None = None
        """Time since which entries are skipped because of their topic, in seconds of the monotonic clock."""

    def start_connection(self, status: Status) -> None:
        """Prepare a new connection: send the present status, and again all messages that may not have arrived."""
        self._notices.start_connection(status, self._outbox.sequence(self._station))
        self._resends.start_connection()
        self._suspicion.start_connection()
        self._entries.clear()
        self._sent_up_to = 0
        self._held.clear()
        self.held_since = None
        self._began = 0.0

    def send(self, session: Session, *, parts: bool) -> None:
        """Send all messages that may be sent now; without `parts`, only notices."""
        self._began = self._began or time.monotonic()
        if self._suspicion.careful:
            self._send_one(session, parts=parts)
            return
        if self._on_trial(session):
            return
        while session.free and (notice := self._notices.next()) is not None:
            self._send_notice(session, notice)
        if parts:
            self._send_entries(session)
            if session.free:
                for entry in self._resends.next(session.free):
                    self._send_entry(session, entry, "resend")

    def is_empty(self, session: Session) -> bool:
        """Return whether all messages that can be sent were sent and acknowledged."""
        waits = self._notices.are_due or self._outbox.pending(self._station, self._sent_up_to, 1)
        return not waits and not len(session.in_flight)

    def settle(self, session: Session) -> None:
        """Process the messages that the broker has acknowledged or refused since the last call."""
        acknowledged = session.in_flight.take_acknowledged()
        if acknowledged:
            self._outbox.remove(_numbers(acknowledged, "entry"))
            self._resends.acknowledge(_numbers(acknowledged, "resend"))
        for token in acknowledged:
            if token[0] == "health":
                self._health_taken_at = time.monotonic()
            self._suspicion.acknowledge(token)
            self._notices.remove(token)
            entry = self._entries.pop(token, None)
            if entry is not None:
                self._held_said.discard(entry.address)
        for refused in session.in_flight.take_refused():
            self._hold(refused.token, refused.why)

    def end(self, session: Session, problem: ConnectionProblem) -> None:
        """Process the end of a connection: if a message is found to be its cause, set the message aside."""
        self.settle(session)
        if not problem.of_message:
            return
        refused = session.refused_token
        token = self._suspicion.end(session.in_flight.tokens, refused)
        if token is not None:
            self._set_aside(token, problem, hung_up=refused is None)

    @property
    def careful(self) -> bool:
        """Whether messages are sent one at a time, to find the one at which the broker ends the connection."""
        return self._suspicion.careful

    def _send_one(self, session: Session, *, parts: bool) -> None:
        """Send one message if none is in flight, so that its fate can be observed."""
        if session.in_flight.tokens:
            return
        if (notice := self._notices.next(self._may_send)) is not None:
            self._send_notice(session, notice)
            return
        if not parts:
            return
        entry = self._next_suspect() or self._next_entry()
        if entry is not None:
            self._send_entry(session, entry)
        elif self._has_been_calm(_CALM_S):
            for entry in self._resends.next(1):
                self._send_entry(session, entry, "resend")
                return
            self._suspicion.forget_those_gone()

    def _may_send(self, token: Token) -> bool:
        if token[0] == "health" and time.monotonic() < self._health_taken_at + _HEALTH_PAUSE_S:
            return False
        return self._suspicion.may_send(token) and (
            not self._suspicion.wants_calm(token) or self._has_been_calm(_CALM_S)
        )

    def _has_been_calm(self, seconds: float) -> bool:
        return time.monotonic() >= self._began + seconds

    def _next_suspect(self) -> Entry | None:
        """Return a skipped message that may be tried again: another one has passed, or the connection lasted long."""
        for token in self._suspicion.suspects:
            number = int(token[1])
            found = self._outbox.pending(self._station, number - 1, 1)
            if not found or found[0].id != number:
                self._suspicion.forget(token)
            elif self._may_send(token) or self._has_been_calm(self._long_calm_s):
                return found[0]
        return None

    def _next_entry(self) -> Entry | None:
        """Return the oldest entry that is not skipped; `None` if there is none, or it may not be sent yet."""
        while found := self._outbox.pending(self._station, self._sent_up_to, 1):
            entry, token = found[0], ("entry", found[0].id)
            passed_over = entry.address in self._held or not self._suspicion.may_send(token)
            if not passed_over and not self._may_send(token):
                return None
            self._sent_up_to = entry.id
            if not passed_over:
                return entry
        return None

    def _send_entries(self, session: Session) -> None:
        """Fill the window from the outbox."""
        while session.free and not self._on_trial(session):
            entries = self._outbox.pending(self._station, self._sent_up_to, session.free)
            for entry in entries:
                if self._suspicion.is_like_set_aside(entry.size):
                    if session.in_flight.tokens:
                        return
                    self._suspicion.begin_trial(("entry", entry.id))
                self._sent_up_to = entry.id
                if entry.address not in self._held:
                    self._send_entry(session, entry)
                if self._on_trial(session):
                    return
            if not entries:
                return

    def _send_entry(self, session: Session, entry: Entry, why: str = "entry") -> None:
        limit = session.limit(entry.size, entry.kind)
        if limit is None:
            token: Token = (why, entry.id)
            self._entries[token] = entry
            session.send(entry.kind, entry.address, entry.payload, token)
        elif why == "resend":
            self._resends.skip(entry.id)
        else:
            self._outbox.drop([entry.id])
            what = (
                f"a {entry.kind} of {entry.size} bytes is dropped, because the broker's packet limit is {limit} bytes"
            )
            self._report_loss(what, entry)

    def _send_notice(self, session: Session, notice: Notice) -> None:
        schema, topic = notice.schema, notice.topic
        if time.monotonic() < self._withheld.get(schema, 0.0):
            self._notices.remove(notice.token)
            return
        for shown in (notice, notice.shortened()):
            payload = shown.payload
            limit = session.limit(len(topic.encode()) + len(payload), schema)
            if limit is None:
                self._too_large_said.discard(schema)
                session.send(schema, topic, payload, notice.token, notice.back)
                return
        self._notices.remove(notice.token)
        if schema not in self._too_large_said:
            self._too_large_said.add(schema)
            log.error(
                "%s: %s of %d bytes is not sent, because the broker's packet limit is %d bytes; raise its limit",
                self._name,
                schema,
                len(payload),
                limit,
            )

    def _on_trial(self, session: Session) -> bool:
        """Return whether a message is in flight that must be sent alone."""
        trial = self._suspicion.trial
        return trial is not None and trial in session.in_flight.tokens

    def _hold(self, token: Token, why: str) -> None:
        """Hold all messages of a topic, because the broker has refused one of them because of its topic."""
        entry, notice = self._entries.pop(token, None), self._notices.remove(token)
        if token[0] == "resend":
            self._resends.skip(int(token[1]))
        topic = entry.address if entry is not None else notice.topic if notice is not None else ""
        if token[0] == "entry":
            self._held.add(topic)
            self.held_since = self.held_since or time.monotonic()
        if topic and topic not in self._held_said:
            self._held_said.add(topic)
            waits = (
                "its messages wait in the outbox and are tried again"
                if topic in self._held
                else "this message is not delivered"
            )
            log.error("%s: the broker refuses %s: %s; %s", self._name, topic, why, waits)

    def _set_aside(self, token: Token, problem: ConnectionProblem, *, hung_up: bool) -> None:
        """Give up a message that the broker does not accept: count it, log it, and continue without it."""
        entry, notice = self._entries.get(token), self._notices.remove(token)
        if notice is not None:
            what, size = str(notice.schema), len(notice.payload)
            if notice.schema in ("health", "image"):
                self._withheld[notice.schema] = time.monotonic() + REMEMBERED_S
            elif isinstance(notice.content, Status):
                self._notices.shorten(notice.content)
        elif entry is not None:
            what, size = entry.kind, entry.size
            if token[0] == "resend":
                self._resends.skip(entry.id)
            else:
                self._outbox.drop([entry.id])
                if hung_up:
                    self._suspicion.remember_size(size)
        else:
            return
        said = "connections end at it" if problem.code is None else f"the broker {problem}"
        self._report_loss(f"a {what} of {size} bytes is set aside: {said}, while other messages are accepted", entry)

    def _report_loss(self, what: str, entry: Entry | None) -> None:
        self.set_aside += 1
        where = "" if entry is None else f"sequence {entry.sequence}: "
        advice = "; check the broker's packet limit and its rules for payloads"
        log.error("%s: %s%s%s", self._name, where, what, advice)
        self._on_set_aside(f"{where}{what}")


def _numbers(tokens: list[Token], kind: str) -> list[int]:
    return [int(number) for sort, number in tokens if sort == kind]
