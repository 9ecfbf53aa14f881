"""The page's connection to the broker: it receives the messages and pictures of all stations."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from edge_inspect.edge.contract.ids import UUID7_PATTERN_READ
from edge_inspect.edge.contract.received_messages import KINDS, UnreadableMessage, read_message
from edge_inspect.edge.contract.topics import TOPIC_ROOT
from edge_inspect.edge.identity import box_id
from edge_inspect.edge.mqtt.connection import Receiving
from edge_inspect.edge.mqtt.loop_feed import KEPT_S, Following, LoopFeed
from edge_inspect.edge.mqtt.session import Session
from edge_inspect.edge.page.label_publisher import LabelPublisher
from edge_inspect.edge.page.line_view import Received
from edge_inspect.edge.page.pictures import LARGEST_BYTES, PictureKind, PictureName, is_picture
from edge_inspect.edge.page.settings import PageSettings

_PICTURES: dict[str, PictureKind] = {"image": "picture", "map": "map"}

Deliver = Callable[[list[Received]], None]


def topics(settings: PageSettings) -> list[str]:
    """Return the topics to which the page subscribes."""
    levels = (*KINDS, *(f"{kind}/+" for kind in _PICTURES))
    return [f"{TOPIC_ROOT}/{pattern}/{level}" for pattern in settings.stations for level in levels]


class Feed(LoopFeed[Received]):
    """Receives the messages and pictures of the stations, and publishes labels.

    Args:
        settings: The whole configuration of the page.
        loop: Event loop in which `deliver` and `connected` are called.
        deliver: Called with what has come, in order.
        connected: Called when the connection was made, or lost.
        labels: Publishes labels over the connection.
    """

    def __init__(
        self,
        settings: PageSettings,
        loop: asyncio.AbstractEventLoop,
        deliver: Deliver,
        connected: Callable[[bool], None],
        labels: LabelPublisher,
    ) -> None:
        self._deliver, self._connected, self._labels = deliver, connected, labels
        following = Following(
            program="page",
            client_id=settings.mqtt.client_id or f"edge-inspect-page-{settings.name}-{box_id()}",
            stations=settings.stations,
            topics=topics(settings),
            receiving=Receiving(largest=LARGEST_BYTES["picture"] + 2**12, kept_s=KEPT_S),
            meanwhile="Browsers are told that what they see is old",
        )
        super().__init__(settings.mqtt, following, loop)

    def _arrived(self) -> None:
        self._deliver(self.take())

    def _set_connected(self, connected: bool) -> None:
        self._connected(connected)

    def _turn(self, session: Session, *, is_first: bool) -> None:
        if is_first:
            self._labels.begin()
        self._labels.turn(session)

    def _read(self, key: str, levels: list[str], payload: bytes, retained: bool) -> Received | None:
        if len(levels) == 1 and levels[0] in KINDS:
            # An empty retained message deletes the one that the broker has.
            return Received(key, read_message(levels[0], payload), retained) if payload else None
        if len(levels) != 2 or levels[0] not in _PICTURES or not re.fullmatch(UUID7_PATTERN_READ, levels[1]):
            return None
        kind = _PICTURES[levels[0]]
        if not is_picture(kind, payload):
            raise UnreadableMessage(f"it is no {'JPEG' if kind == 'picture' else 'PNG'}, or too large")
        return Received(key, payload, retained, PictureName(key, levels[1].lower(), kind))
