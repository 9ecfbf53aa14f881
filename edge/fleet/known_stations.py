"""What is known of the stations of a fleet: the last status and health of each."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import Status, Verdict
from edge_inspect.edge.contract.received_messages import KINDS, ReceivedMessage, UnreadableMessage, read_message
from edge_inspect.edge.contract.topics import TOPIC_ROOT, Topics
from edge_inspect.edge.fleet.selector import Selectors
from edge_inspect.edge.fleet.station_row import StationRow, station_row
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)


@dataclass
class KnownStation:
    """A station, as far as it is known.

    Attributes:
        status: Its last status.
        health: Its last health.
        heard_at: Time of its last message that the broker had not kept, in seconds of `time.monotonic`.
        health_at: The same of its last health.
    """

    status: Status | None = None
    health: Health | None = None
    heard_at: float = float("-inf")
    health_at: float = float("-inf")

    @property
    def is_up(self) -> bool:
        """Whether its last status says that it can carry out commands."""
        return self.status is not None and self.status.state not in ("offline", "stopping", "starting")

    def take(self, message: ReceivedMessage, *, retained: bool) -> None:
        """Take a message of the station."""
        if isinstance(message, Status):
            self.status = message
        elif isinstance(message, Health):
            self.health = message
        # The last will says that nobody is there.
        if not retained and not (isinstance(message, Status) and message.state == "offline"):
            self.heard_at = time.monotonic()
            if isinstance(message, Health):
                self.health_at = self.heard_at


class KnownStations:
    """The stations that were heard of, by site/line/station.

    Args:
        selectors: The stations to listen to.

    Attributes:
        retained_at: Time of the last message that the broker had kept, in seconds of `time.monotonic`.
    """

    def __init__(self, selectors: Selectors) -> None:
        self._selectors = selectors
        self._stations: dict[str, KnownStation] = {}
        self.retained_at = float("-inf")

    def __getitem__(self, key: str) -> KnownStation:
        """Return a station; one that was never heard has neither status nor health."""
        return self._stations.get(key) or KnownStation()

    @property
    def keys(self) -> list[str]:
        """The stations that were heard, and those that a selector names, in order."""
        return sorted({*self._stations, *self._selectors.named})

    def read(self, topic: str, payload: bytes, retained: bool) -> tuple[str, ReceivedMessage] | None:
        """Take a message; return its station and what it says, or `None` if it is of no use here."""
        key, kind = split_topic(topic)
        if not payload or kind not in KINDS or not self._selectors.matches(key):
            return None
        if key not in self._stations and not _is_possible(key):
            return None
        try:
            message = read_message(kind, payload)
        except UnreadableMessage as error:
            log.debug("%s: a message cannot be read and is skipped: %s", clean(topic), error)
            return None
        if retained:
            self.retained_at = time.monotonic()
        if not isinstance(message, Verdict) or key in self._stations:
            self._stations.setdefault(key, KnownStation()).take(message, retained=retained)
        return key, message

    def rows(self) -> list[StationRow]:
        """Return a row for each station."""
        return [station_row(key, self[key].status, self[key].health, utc_now()) for key in self.keys]


def _is_possible(key: str) -> bool:
    """Return whether a station can have such names: anybody who may publish can make some up."""
    try:
        Topics(*key.split("/"))
    except ValueError:
        return False
    return True


def split_topic(topic: str) -> tuple[str, str]:
    """Return the station, as site/line/station, and the last levels of a topic of the contract."""
    levels = topic.removeprefix(f"{TOPIC_ROOT}/").split("/", 3)
    return "/".join(levels[:3]), levels[3] if len(levels) == 4 else ""
