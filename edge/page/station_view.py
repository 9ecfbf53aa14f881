"""One station as browsers see it: its status, its health, its newest parts and the counters of the shift."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

from edge_inspect.edge.contract.fields import format_time
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import Defect, Region, Status, Verdict
from edge_inspect.edge.contract.received_messages import ReceivedMessage
from edge_inspect.edge.fleet.station_row import station_row
from edge_inspect.edge.page.pictures import PictureKind
from edge_inspect.edge.page.shift import Shift, ShiftCounts, is_yet_to_come, was_ahead

MOST_PARTS = 24
"""Number of parts that are kept of each station."""
STALE_AFTER_S = 30.0
"""Seconds without a message after which a station is stale. Stations send health every ten seconds by default."""


class PartView(TypedDict):
    """A part as browsers get it."""

    id: str
    sequence: int
    part_id: str | None
    decided_at: str
    ok: bool
    rejected: bool
    shadow: bool
    score: float
    threshold: float
    reason: str | None
    not_found: str | None
    wrong_views: list[str]
    area_name: str | None
    latency_ms: float
    frame: dict[str, int]
    regions: list[dict[str, Any]]
    picture: bool
    map: bool
    label: str | None
    bundle: str


def view_part(verdict: Verdict, regions: Sequence[Region]) -> PartView:
    """Return a part as browsers get it, as if it had neither picture, map nor label."""
    return {
        "id": verdict.id,
        "sequence": verdict.sequence,
        "part_id": verdict.part_id,
        "decided_at": format_time(verdict.decided_at),
        "ok": verdict.ok,
        "rejected": not verdict.ok or verdict.is_rejected,
        "shadow": verdict.shadow,
        "score": verdict.score,
        "threshold": verdict.threshold,
        "reason": verdict.reason,
        "not_found": verdict.not_found,
        "wrong_views": [view.name for view in verdict.views or () if view.problem is not None],
        "area_name": verdict.area_name,
        "latency_ms": verdict.latency_ms,
        "frame": {"width": verdict.frame.width, "height": verdict.frame.height},
        "regions": [region.model_dump(mode="json") for region in regions],
        "picture": False,
        "map": False,
        "label": None,
        "bundle": verdict.bundle.name,
    }


HasPicture = Callable[[str, PictureKind], bool]
"""Returns whether a picture or a map of the part with an id can be had."""


class StationView:
    """What is known of one station. Used by one thread.

    Args:
        key: `site/line/station`.
        counts: Counters of the shift.
        has_picture: Returns whether a picture of one of this station's parts can be had.
        label_of: Returns the word with which the part with an id is labelled; `None` without a label.
    """

    def __init__(
        self, key: str, counts: ShiftCounts, has_picture: HasPicture, label_of: Callable[[str], str | None]
    ) -> None:
        self.key = key
        self.counts = counts
        self._has_picture, self._label_of = has_picture, label_of
        self._status: Status | None = None
        self._health: Health | None = None
        self._usual: float | None = None
        self._in_force: dict[str, Any] = {"bundle": None, "threshold": None, "precision": None}
        self._parts: dict[str, PartView] = {}
        self._heard_at = float("-inf")
        self.stale = True
        self._changed_parts: set[str] = set()
        self._changed_fields: set[str] = set()

    def take(self, message: ReceivedMessage, now: float, *, retained: bool) -> None:
        """Take a message of the station.

        Args:
            message: The message.
            now: Seconds of the monotonic clock.
            retained: Whether the broker had retained it, so that it may be old.
        """
        if isinstance(message, Verdict):
            self._take_part(message)
        elif isinstance(message, Status):
            self._status = message
            self._changed_fields.add("status")
        else:
            self._take_health(message)
        # The broker publishes the last will in the name of a station that is gone. So a retained status shows that the
        # station is there, or at least was when the broker was started; other retained messages may be old.
        if message.state != "offline" if isinstance(message, Status) else not retained:
            self._heard_at = now

    def refresh_part(self, identity: str) -> bool:
        """Look again for pictures and label of a part; return whether it is kept and has changed."""
        part = self._parts.get(identity)
        if part is None:
            return False
        before = part.copy()
        self._look_for_more(part)
        if part == before:
            return False
        self._changed_parts.add(identity)
        return True

    def grow_old(self, now: float, *, connected: bool) -> bool:
        """Decide whether the station is stale; return whether that has changed.

        Args:
            now: Seconds of the monotonic clock.
            connected: Whether the page is connected to the broker.
        """
        offline = self._status is not None and self._status.state == "offline"
        before, self.stale = self.stale, not connected or offline or now - self._heard_at > STALE_AFTER_S
        return self.stale != before

    def show(self, shift: Shift, *, all_of_it: bool) -> dict[str, Any]:
        """Return the station for browsers.

        Args:
            shift: The present shift.
            all_of_it: Whether to return everything; if not, only changed parts, and status and health only if they
                have changed. This forgets what has changed.
        """
        site, line, station = self.key.split("/")
        self.counts.begin(shift.since)
        view = {
            "key": self.key,
            "site": site,
            "line": line,
            "station": station,
            "stale": self.stale,
            **self._in_force,
            "shift": self.counts.show(shift, self._usual),
        }
        if all_of_it or "status" in self._changed_fields:
            view["status"] = self._status and self._status.model_dump(mode="json")
        if all_of_it or "health" in self._changed_fields:
            view["health"] = self._health and self._health.model_dump(mode="json")
        if all_of_it or self._changed_fields:
            view["row"] = station_row(self.key, self._status, self._health)
        newest_first = reversed(self._parts.values())
        view["parts"] = [part for part in newest_first if all_of_it or part["id"] in self._changed_parts]
        if not all_of_it:
            self._changed_parts.clear()
            self._changed_fields.clear()
        return view

    @property
    def bundle(self) -> dict[str, str] | None:
        """Name and digest of the bundle in force; `None` if it is unknown."""
        bundle: dict[str, str] | None = self._in_force["bundle"]
        return bundle

    @property
    def recipe(self) -> str | None:
        """The recipe in force; `None` if the station has none, or it is unknown."""
        return self._health.recipe.active if self._health is not None and self._health.recipe is not None else None

    @property
    def threshold(self) -> float | None:
        """The threshold in force; `None` if it is unknown."""
        threshold: float | None = self._in_force["threshold"]
        return threshold

    def _take_part(self, verdict: Verdict) -> None:
        self.counts.add(verdict.sequence, verdict.id, verdict.decided_at, rejected=not verdict.ok)
        known = self._parts.get(verdict.id)
        regions = verdict.regions if isinstance(verdict, Defect) else ()
        part = view_part(verdict, regions)
        if known is not None and not regions:
            part["regions"] = known["regions"]
        self._forget_future(verdict.id)
        if known is None and not self._is_new(verdict.id):
            return
        self._look_for_more(part)
        self._parts[verdict.id] = part
        self._changed_parts.add(verdict.id)
        if known is None:
            self._keep_the_newest()
        if next(reversed(self._parts)) == verdict.id and self._health is None:
            self._in_force = {
                "bundle": {"name": verdict.bundle.name, "digest": verdict.bundle.digest},
                "threshold": verdict.threshold,
                "precision": verdict.precision,
            }

    def _is_new(self, identity: str) -> bool:
        """Return whether a part is newer than the oldest one that is kept. Ids rise with time."""
        return len(self._parts) < MOST_PARTS or identity > next(iter(self._parts))

    def _forget_future(self, identity: str) -> None:
        """Forget the parts that a clock dated ahead, if a part of the present comes; it would be old beside them."""
        newest, now = next(reversed(self._parts), ""), time.time()
        if was_ahead(newest, identity, now):
            self._parts = {each: part for each, part in self._parts.items() if not is_yet_to_come(each, now)}
            self._changed_parts &= self._parts.keys()

    def _keep_the_newest(self) -> None:
        ids = list(self._parts)
        if len(ids) > 1 and ids[-1] < ids[-2]:
            self._parts = {identity: self._parts[identity] for identity in sorted(ids)}
        if len(self._parts) > MOST_PARTS:
            oldest = next(iter(self._parts))
            del self._parts[oldest]
            self._changed_parts.discard(oldest)

    def _look_for_more(self, part: PartView) -> None:
        part["picture"] = self._has_picture(part["id"], "picture")
        part["map"] = self._has_picture(part["id"], "map")
        part["label"] = self._label_of(part["id"])

    def _take_health(self, health: Health) -> None:
        self._health = health
        self._changed_fields.add("health")
        self._usual = health.rejects.usual if health.rejects else None
        self._in_force = {
            "bundle": {"name": health.bundle.name, "digest": health.bundle.digest},
            "threshold": health.threshold,
            "precision": health.precision,
        }
