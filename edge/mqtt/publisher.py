"""The publisher, which is the sink `mqtt`: sends one station's outbox entries to the broker, and receives its commands.

Each station has its own connection, because an MQTT connection has one last will. Each connection has its own thread.
It sends the outbox's entries in order, at most `window` messages ahead of the broker's acknowledgements, and removes an
entry only when it is acknowledged. After a lost connection it starts again at the oldest entry. So a subscriber
receives every message at least once, and in order if it drops repeats. Replies to commands are kept until they are
acknowledged, too. The session is clean: the broker keeps no commands for a station that is disconnected.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Collection

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.contract.commands import ReturnAddress, Verb
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.ids import uuid7
from edge_inspect.edge.contract.messages import State, Status
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.topics import TOPIC_ROOT, Topics
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.drain import Drain
from edge_inspect.edge.mqtt.encodings import opener
from edge_inspect.edge.mqtt.notices import Notices
from edge_inspect.edge.mqtt.problem import ConnectionProblem
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.resends import Resends
from edge_inspect.edge.mqtt.session import Session
from edge_inspect.edge.outbox import Kind, Outbox
from edge_inspect.edge.sinks.sink import OnCommand, Sink, SinkContext

log = logging.getLogger(__name__)

# Share of the time for closing that is used to send waiting messages; the rest is for the status `offline`.
_DRAIN_SHARE = 0.8


def open_publisher(context: SinkContext) -> Sink:
    """Open the sink `mqtt` (see `edge.sinks`) with the configuration's section `mqtt`."""
    settings = context.settings
    return Publisher(
        Topics(settings.site, settings.line, context.station),
        context.outbox,
        settings.mqtt,
        context.status,
        context.on_command,
        context.on_set_aside,
        allowed=context.allowed,
    )


class Publisher:
    """One station's connection to the broker; a `Sink`.

    The thread starts at once and tries to connect until `close`; a broker that cannot be reached or refuses is never an
    error here. The status is published with every connection and at every change, however short, because an operator
    may ask later why a part was missed. The last will says `offline`.

    Args:
        topics: Topics of the station; `topics.station` is its name in the outbox.
        outbox: Outbox, which all stations share.
        settings: Settings of the connection.
        status: Present status of the station.
        on_command: Called in the publisher's thread with each command's payload, whether it was retained, and the
            requester's return address.
        on_set_aside: Called in the publisher's thread with a sentence when a message is given up because the broker
            does not accept it.
        allowed: Commands that the station carries out.
    """

    def __init__(
        self,
        topics: Topics,
        outbox: Outbox,
        settings: MqttSettings,
        status: Status,
        on_command: OnCommand | None = None,
        on_set_aside: Callable[[str], None] = lambda sentence: None,
        *,
        allowed: Collection[Verb] = (),
    ) -> None:
        self._topics = topics
        self._outbox = outbox
        self._settings = settings
        self._name = f"{topics.site}/{topics.line}/{topics.station}"
        self._open = opener(topics, settings, lambda: outbox.sequence(topics.station), on_command, allowed)
        self._reconnection = Reconnection(settings, log, "Verdicts wait in the outbox", self._name)
        self._lock = threading.Lock()
        self._status = status
        self._notices = Notices(topics)
        self._notices.add_status(status)
        self._resends = Resends(outbox, topics.station)
        self._drain = Drain(topics, outbox, self._notices, self._resends, on_set_aside, settings.backoff_cap_s)
        self._limit: Callable[[int, str], int | None] = lambda size, schema: None
        self._closing = threading.Event()
        self._drain_until = self._close_until = float("inf")
        self._connected = False
        self._connections = 0
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._unsubscribe = outbox.subscribe(topics.station, self._wake)
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{topics.station}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection."""
        return self._connected

    @property
    def reconnects(self) -> int:
        """Number of reconnections."""
        return max(0, self._connections - 1)

    @property
    def set_aside(self) -> int:
        """Number of messages given up because the broker does not accept them."""
        return self._drain.set_aside

    def address(self, kind: Kind) -> str:
        """Return the topic of a kind of message."""
        return self._topics.verdict if kind == "verdict" else self._topics.defect

    def set_status(self, status: Status) -> None:
        """Publish a status, now or with the next connection. At most the newest 16 wait, and are sent in order."""
        with self._lock:
            self._status = status
            self._notices.add_status(status)
        self._wake()

    def publish_health(self, health: Health) -> None:
        """Publish health if the broker is connected."""
        if self._connected:
            self._notices.add_health(health)
            self._wake()

    def reply(self, reply: Reply, back: ReturnAddress | None = None) -> None:
        """Publish a reply after earlier ones, also to the requester's return address."""
        if back is not None and back.topic is not None and not self._is_open(back.topic):
            log.warning(
                "%s: the response topic %r is not allowed and gets no reply; name a topic outside of %s/",
                self._name,
                back.topic,
                TOPIC_ROOT,
            )
            back = back._replace(topic=None)
        self._notices.add_reply(reply, back)
        self._wake()

    def publish_image(self, identity: str, jpeg: bytes) -> str | None:
        """Publish a picture before any later reply; return its topic, or `None` if the broker does not accept it.

        It does not accept a picture while it is disconnected, or if the picture is larger than its limit.
        """
        topic = self._topics.image(identity)
        if not self._connected or self._limit(len(topic.encode()) + len(jpeg), "image") is not None:
            return None
        self._notices.add_picture(topic, jpeg)
        self._wake()
        return topic

    def resend(self, first: int, last: int) -> bool:
        """Publish parts of the history again; return false if too many requests wait already."""
        asked = self._resends.ask(first, last)
        self._wake()
        return asked

    def _is_open(self, topic: str) -> bool:
        """Return whether a requester may name this response topic.

        Otherwise a requester could use the station's right to publish, for example to publish a verdict.
        """
        own = f"{self._topics.reply}/"
        outside = not topic.startswith(("$", f"{TOPIC_ROOT}/"))
        return (outside or f"{topic}/".startswith(own)) and not set(topic) & set("+#\0") and bool(topic)

    def close(self, timeout: float = 5.0) -> None:
        """Send waiting messages for at most `timeout` seconds, publish `stopping` and `offline`, and disconnect.

        Without a connection it ends at once. Entries that were not acknowledged stay in the outbox.
        """
        if not self._closing.is_set():
            self._unsubscribe()
            now = time.monotonic()
            self._drain_until, self._close_until = now + _DRAIN_SHARE * timeout, now + timeout
            self.set_status(self._now("stopping", None))
            self._closing.set()
            self._wake()
        self._thread.join(timeout + self._settings.connect_timeout_s)
        if self._thread.is_alive():
            log.warning("%s: the connection to the broker did not end in time", self._name)
        else:
            self._wake_in.close()
            self._wake_out.close()

    def _wake(self) -> None:
        try:
            self._wake_in.send(b"\0")
        except OSError:
            # If the socket is full, the thread wakes anyway. If it is closed, there is no thread any more.
            return

    def _run(self) -> None:
        while True:
            pause = self._reconnection.run_once(self._connect, self._serve)
            self._connected = False
            if self._closing.is_set():
                return
            self._closing.wait(pause)

    def _connect(self, terms: Terms) -> Session:
        with self._lock:
            will = self._now("offline", "connection lost")
            self._drain.start_connection(self._status)
        return self._open(terms, will)

    def _serve(self, session: Session) -> bool:
        """Send messages until the connection ends; return whether the end was orderly."""
        try:
            return self._work(session)
        except ConnectionProblem as problem:
            # The last turn before the connection was lost may have received acknowledgements.
            self._drain.end(session, problem)
            raise
        finally:
            self._connected = False

    def _work(self, session: Session) -> bool:
        offline_sent = False
        while True:
            closing = self._closing.is_set()  # read this first, so that `stopping` is sent before `offline`
            now = time.monotonic()
            if session.connected and not offline_sent:
                self._say_connected(session)
                self._drain.send(session, parts=now < self._drain_until)
                if closing and (now >= self._drain_until or self._drain.is_empty(session)):
                    offline = self._now("offline", None)
                    session.send("status", self._topics.status, offline.to_json(), ("status", offline.id))
                    offline_sent = True
            if offline_sent and not len(session.in_flight):
                return True
            if now >= self._close_until:
                # The broker has not acknowledged the status `offline`, so let it publish the last will.
                return False
            if not closing and self._asks_again(now):
                return True
            limit = self._close_until if now >= self._drain_until else self._drain_until
            session.turn(self._wake_out, max(0.0, min(0.1 if self._drain.careful else 1.0, limit - now)))
            self._drain.settle(session)
            self._clear_wake()

    def _asks_again(self, now: float) -> bool:
        """Return whether it is time to reconnect and try again the topics that the broker has refused."""
        since = self._drain.held_since
        return since is not None and now >= since + 2 * self._settings.backoff_cap_s

    def _clear_wake(self) -> None:
        try:
            self._wake_out.recv(4096)
        except BlockingIOError:
            return

    def _say_connected(self, session: Session) -> None:
        if not self._connected:
            self._limit = session.limit
            self._connected = True
            self._connections += 1
            self._reconnection.say_connected(session)

    def _now(self, state: State, reason: str | None) -> Status:
        sequence = self._outbox.sequence(self._topics.station)
        fields = {"id": uuid7(), "sequence": sequence, "state": state, "reason": reason, "at": utc_now()}
        return self._status.model_copy(update=fields)
