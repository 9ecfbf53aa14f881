"""All stations, as far as they are known. It lies in memory, and belongs to the event loop's thread."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from edge_inspect.edge.configuration.station_patterns import named_stations
from edge_inspect.edge.contract.fields import format_time, utc_now
from edge_inspect.edge.contract.received_messages import ReceivedMessage
from edge_inspect.edge.page.pictures import PictureKind, PictureMemory, PictureName
from edge_inspect.edge.page.settings import PageSettings
from edge_inspect.edge.page.shift import SavedShift, ShiftCounts, shift_at
from edge_inspect.edge.page.station_view import StationView

log = logging.getLogger(__name__)

MOST_STATIONS = 256
"""Largest number of stations, because anybody who may publish can make up names."""
PICTURE_BYTES = 32 * 2**20
"""Largest size of all pictures and maps in memory, in bytes."""


class Received(NamedTuple):
    """A message of a station, or a picture or map of one of its parts.

    Attributes:
        station: Key of the station.
        message: The message; for a picture or map, its bytes.
        retained: Whether the broker had retained it.
        picture: Name of the picture; `None`: it is a message.
    """

    station: str
    message: ReceivedMessage | bytes
    retained: bool = False
    picture: PictureName | None = None


class LineView:
    """What is known of all stations. Every method is called in the event loop's thread.

    Args:
        settings: The whole configuration of the page.
        saved: Counters of the stations when the page ended, by key.
        now: Returns the present time, with this box's time zone.

    Attributes:
        connected: Whether the page is connected to the broker.
        on_change: Called when browsers should be told of changes.
        has_stored: Returns whether a picture or map is on disk.
        label_of: Returns the word with which a part is labelled, by key of the station and id; `None` without a label.
    """

    def __init__(
        self,
        settings: PageSettings,
        saved: Mapping[str, SavedShift] | None = None,
        now: Callable[[], datetime] = lambda: utc_now().astimezone(),
    ) -> None:
        self._settings, self._saved, self._now = settings, dict(saved or {}), now
        self.connected = False
        self.on_change: Callable[[], None] = lambda: None
        self.has_stored: Callable[[PictureName], bool] = lambda name: False
        self.label_of: Callable[[str, str], str | None] = lambda station, identity: None
        self.pictures = PictureMemory(PICTURE_BYTES)
        self._stations: dict[str, StationView] = {}
        self._changed: set[str] = set()
        self._snapshot: bytes | None = None
        self._shift = shift_at(now(), settings.shift_times)
        for key in named_stations(settings.stations):
            self._add(key)

    def take(self, received: list[Received]) -> None:
        """Take messages and pictures in the order in which they came."""
        now = time.monotonic()
        for each in received:
            station = self._stations.get(each.station) or self._found(each)
            if station is None:
                continue
            if each.picture is not None:
                self._take_picture(station, each.picture, each.message)
                continue
            station.take(each.message, now, retained=each.retained)  # type: ignore[arg-type]
            station.grow_old(now, connected=self.connected)
            self._note(station.key)

    def set_connected(self, connected: bool) -> None:
        """Note that the page is connected to the broker, or has lost it."""
        self.connected = connected
        self.tick(told=True)

    def tick(self, *, told: bool = False) -> None:
        """Notice a new shift and stations that have become silent. Call this every second.

        Args:
            told: Whether browsers are told in any case.
        """
        before, self._shift = self._shift, shift_at(self._now(), self._settings.shift_times)
        for key, station in self._stations.items():
            if station.grow_old(time.monotonic(), connected=self.connected) or before != self._shift:
                self._note(key)
        if told:
            self._snapshot = None
            self.on_change()

    def refresh_part(self, station: str, identity: str) -> None:
        """Look again for the pictures and the label of a part, and tell browsers if they have changed."""
        found = self._stations.get(station)
        if found is not None and found.refresh_part(identity):
            self._note(station)

    def snapshot(self) -> bytes:
        """Return everything, as JSON: {now, connected, stations}."""
        if self._snapshot is None:
            self._snapshot = self._show(self._stations, all_of_it=True)
        return self._snapshot

    def changes(self) -> bytes:
        """Return the stations that have changed since the last call, each with its changed parts, as JSON."""
        changed, self._changed = self._changed, set()
        return self._show({key: self._stations[key] for key in sorted(changed)}, all_of_it=False)

    def station(self, key: str) -> StationView | None:
        """Return a station; `None` if it is unknown."""
        return self._stations.get(key)

    def keys(self) -> list[str]:
        """Return the keys of all stations; may be called from any thread."""
        return list(self._stations)

    def counters(self) -> dict[str, SavedShift]:
        """Return the counters to keep, also those of stations that have not been heard since the start."""
        return self._saved | {key: station.counts.saved() for key, station in self._stations.items()}

    def _show(self, stations: Mapping[str, StationView], *, all_of_it: bool) -> bytes:
        shown = {
            "now": format_time(utc_now()),
            "connected": self.connected,
            "stations": [station.show(self._shift, all_of_it=all_of_it) for station in stations.values()],
        }
        return json.dumps(shown, allow_nan=False, separators=(",", ":")).encode()

    def _take_picture(self, station: StationView, name: PictureName, data: Any) -> None:
        self.pictures.put(name, data)
        self.refresh_part(station.key, name.identity)

    def _note(self, key: str) -> None:
        self._changed.add(key)
        self._snapshot = None
        self.on_change()

    def _found(self, received: Received) -> StationView | None:
        """Return the view of a station that is new; `None` if it is only a picture's, or there are too many."""
        if received.picture is not None:
            return None
        if len(self._stations) >= MOST_STATIONS:
            log.error(
                "station %s is not shown: %d stations are the limit; name the stations in the configuration's key "
                "stations",
                received.station,
                MOST_STATIONS,
            )
            return None
        log.info("station %s is shown now", received.station)
        return self._add(received.station)

    def _add(self, key: str) -> StationView:
        def has_picture(identity: str, kind: PictureKind) -> bool:
            name = PictureName(key, identity, kind)
            return name in self.pictures or self.has_stored(name)

        counts = ShiftCounts(self._saved.get(key))
        counts.begin(self._shift.since)
        station = StationView(key, counts, has_picture, lambda identity: self.label_of(key, identity))
        self._stations[key] = station
        self._stations = dict(sorted(self._stations.items()))
        self._note(key)
        return station
