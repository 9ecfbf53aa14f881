"""The webhook's connection to the broker: stores messages in the outbox, then acknowledges them."""

from __future__ import annotations

import logging
import socket
import threading
from collections import OrderedDict

from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.contract.received_messages import UnreadableMessage, read_message
from edge_inspect.edge.contract.topics import TOPIC_ROOT
from edge_inspect.edge.identity import box_id
from edge_inspect.edge.mqtt.broker import Terms
from edge_inspect.edge.mqtt.collecting_session import CollectingSession, Heard
from edge_inspect.edge.mqtt.connection import Receiving
from edge_inspect.edge.mqtt.reconnection import Reconnection
from edge_inspect.edge.mqtt.session import Session
from edge_inspect.edge.outbox import Outgoing
from edge_inspect.edge.outbox.sqlite import SqliteOutbox
from edge_inspect.edge.text import clean
from edge_inspect.edge.threads import wait_for_end
from edge_inspect.edge.webhook.settings import TargetSettings, WebhookSettings

log = logging.getLogger(__name__)

KEPT_S = 86_400
"""Seconds for which the broker keeps messages for the webhook while it is not connected."""
_TURN_S = 0.2
_REMEMBERED = 10_000


def topics(settings: WebhookSettings) -> list[str]:
    """Return the topics to which the webhook subscribes."""
    kinds = sorted({target.send.removesuffix("s") for target in settings.targets})
    return [f"{TOPIC_ROOT}/{pattern}/{kind}" for pattern in settings.stations for kind in kinds]


class WebhookSubscriber:
    """Receives messages in a thread of its own until `close`, and reconnects whenever that is needed.

    Args:
        settings: The whole configuration.
        outbox: Outbox of all targets.
    """

    def __init__(self, settings: WebhookSettings, outbox: SqliteOutbox) -> None:
        self._settings, self._outbox = settings, outbox
        own = f"{settings.mqtt.client_id}-in" if settings.mqtt.client_id is not None else None
        self._client_id = own or f"edge-inspect-webhook-{settings.name}-{box_id()}"
        self._reconnection = Reconnection(settings.mqtt, log, "Messages wait at the broker")
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.connected = False
        self._closing = threading.Event()
        self._wake_in, self._wake_out = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="mqtt-webhook", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the connection; the broker keeps messages for the next one."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake_in.close()
        wait_for_end(self._thread, 2 * self._settings.mqtt.connect_timeout_s)

    def _run(self) -> None:
        while not self._closing.is_set():
            pause = self._reconnection.run_once(self._connect, self._serve)
            self.connected = False
            self._closing.wait(pause)
        self._wake_out.close()

    def _connect(self, terms: Terms) -> CollectingSession:
        receiving = Receiving(kept_s=KEPT_S)
        return CollectingSession(self._client_id, terms, self._settings.mqtt, topics(self._settings), receiving)

    def _serve(self, session: Session) -> bool:
        assert isinstance(session, CollectingSession)  # the one that `_connect` has made
        while not self._closing.is_set():
            session.turn(self._wake_out, _TURN_S)
            if session.subscribed and not self.connected:
                self._reconnection.say_connected(session)
                self.connected = True
            for heard in session.take():
                self._store(heard)
            # While the outbox keeps messages in memory only, the broker keeps them too.
            if self._outbox.problem is None:
                self._outbox.flush()
                session.acknowledge_all()
        return True

    def _store(self, heard: Heard) -> None:
        kind = heard.topic.rsplit("/", 1)[-1]
        try:
            message = read_message(kind, heard.payload)
            if not isinstance(message, Verdict):
                raise UnreadableMessage("it is neither a verdict nor a defect")
        except UnreadableMessage as error:
            log.warning("%s: a message cannot be read and is left out: %s", clean(heard.topic), error)
            return
        if (message.id, kind) in self._known:
            return
        self._known[message.id, kind] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        outgoing = Outgoing(heard.topic, heard.payload, "defect" if kind == "defect" else "verdict")
        for target in self._settings.targets:
            if _wants(target, kind, message):
                self._outbox.put(target.name, lambda sequence: [outgoing])


def _wants(target: TargetSettings, kind: str, message: Verdict) -> bool:
    return target.send == f"{kind}s" and not (target.only_rejected and message.ok)
