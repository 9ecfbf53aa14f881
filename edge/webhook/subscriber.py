"""The webhook's connection to the broker: stores messages in the outbox, then acknowledges them."""

from __future__ import annotations

import logging
from collections import OrderedDict

from edge_inspect.edge.configuration.station_patterns import StationFilter
from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.contract.received_messages import UnreadableMessage, read_message
from edge_inspect.edge.contract.topics import TOPIC_ROOT
from edge_inspect.edge.identity import box_id
from edge_inspect.edge.mqtt.collecting_session import CollectingSession, Heard
from edge_inspect.edge.mqtt.collecting_subscriber import CollectingSubscriber
from edge_inspect.edge.outbox import Outgoing
from edge_inspect.edge.outbox.sqlite import SqliteOutbox
from edge_inspect.edge.text import clean
from edge_inspect.edge.webhook.settings import TargetSettings, WebhookSettings

log = logging.getLogger(__name__)

_TURN_S = 0.2
_REMEMBERED = 10_000


def topics(settings: WebhookSettings) -> list[str]:
    """Return the topics to which the webhook subscribes."""
    kinds = sorted({target.send.removesuffix("s") for target in settings.targets})
    return [f"{TOPIC_ROOT}/{pattern}/{kind}" for pattern in settings.stations for kind in kinds]


class WebhookSubscriber(CollectingSubscriber):
    """Receives messages in a thread of its own until `close`, and reconnects whenever that is needed.

    Args:
        settings: The whole configuration.
        outbox: Outbox of all targets.
    """

    def __init__(self, settings: WebhookSettings, outbox: SqliteOutbox) -> None:
        self._targets, self._outbox = settings.targets, outbox
        self._filter = StationFilter(settings.stations, "followed")
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        own = f"{settings.mqtt.client_id}-in" if settings.mqtt.client_id is not None else None
        client_id = own or f"edge-inspect-webhook-{settings.name}-{box_id()}"
        super().__init__(
            "webhook", client_id, settings.mqtt, topics(settings), log, "Messages wait at the broker", _TURN_S
        )

    def _note_connection(self) -> None:
        """Nothing depends on it."""

    def _work(self, session: CollectingSession) -> None:
        for heard in session.take():
            self._store(heard)
        # While the outbox keeps messages in memory only, the broker keeps them too.
        if self._outbox.problem is None:
            self._outbox.flush()
            session.acknowledge_all()

    def _store(self, heard: Heard) -> None:
        key, kind = heard.topic.removeprefix(f"{TOPIC_ROOT}/").rsplit("/", 1)
        if not self._filter.follows(key):
            return
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
        for target in self._targets:
            if _wants(target, kind, message):
                self._outbox.put(target.name, lambda sequence: [outgoing])


def _wants(target: TargetSettings, kind: str, message: Verdict) -> bool:
    return target.send == f"{kind}s" and not (target.only_rejected and message.ok)
