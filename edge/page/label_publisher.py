"""Publishes labels over MQTT. The store remembers which ones the broker has not acknowledged yet."""

from __future__ import annotations

import logging
import threading

from edge_inspect.edge.contract.messages import LabelMessage
from edge_inspect.edge.contract.topics import TOPIC_ROOT, Topics
from edge_inspect.edge.errors import LabelError
from edge_inspect.edge.labels.label import Label
from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.edge.mqtt.session import Session

log = logging.getLogger(__name__)


class LabelPublisher:
    """Publishes what people say about parts, with QoS 1, as message `label` of the station.

    Args:
        store: The store of labels.
    """

    def __init__(self, store: LabelStore) -> None:
        self._store = store
        self._new = threading.Event()
        self._sent: set[str] = set()

    def wake(self) -> None:
        """Publish what is new in the store. May be called from any thread."""
        self._new.set()

    def begin(self) -> None:
        """Publish on a new connection what the last one did not deliver. Called in the feed's thread, as `turn`."""
        self._sent.clear()
        self._new.set()

    def turn(self, session: Session) -> None:
        """Send labels, and note what the broker has acknowledged. Called often."""
        try:
            self._settle(session)
            if self._new.is_set() and session.free:
                self._new.clear()
                self._send(session)
        except LabelError as error:
            log.error("labels are not published now: %s", error)

    def _settle(self, session: Session) -> None:
        refused = session.in_flight.take_refused()
        if refused:
            log.warning(
                "the broker refuses %d labels: %s; let this user write the topic %s/+/+/+/label",
                len(refused),
                refused[0].why,
                TOPIC_ROOT,
            )
        done = [str(identity) for _, identity in session.in_flight.take_acknowledged()]
        if done:
            self._store.mark_published(done)
            self._sent.difference_update(done)
        if done or refused:
            self._new.set()  # there is room for more

    def _send(self, session: Session) -> None:
        # Those that the broker refuses stay unpublished, and must not keep newer ones from being sent.
        for label in self._store.unpublished(limit=len(self._sent) + session.free):
            if label.id not in self._sent and session.free:
                self._sent.add(label.id)
                topic = Topics(label.site, label.line, label.station).label
                session.send("label", topic, to_message(label).to_json(), ("label", label.id))


def to_message(label: Label) -> LabelMessage:
    """Return the message of the contract that publishes a label."""
    fields = {name: getattr(label, name) for name in LabelMessage.model_fields if hasattr(label, name)}
    return LabelMessage(**fields)
