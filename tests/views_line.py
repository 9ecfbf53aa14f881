"""A line whose parts several stations see, with random delays, missed triggers and repeats; and the check of the joint
verdicts against what it knows. For tests of the joiner and their benchmark."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from views_parts import ViewStation

from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.outbox.memory import MemoryOutbox


class Sight(NamedTuple):
    """What one view saw of one part."""

    part: int
    ok: bool


class SeenLine:
    """Stations that see the same parts.

    Args:
        port: Port of the broker.
        views: Number of stations.
        seed: Of all that is random.
        missed: Share of triggers that a station misses.
        stalls: Share of verdicts before which a station stalls for 2.2 to 2.8 s; what it has seen meanwhile comes then.
        bad: Share of parts that a station rejects.

    Attributes:
        sights: What each view has published, by the name of the view and the sequence number.
    """

    def __init__(
        self, port: int, views: int, seed: int, *, missed: float = 0.02, stalls: float = 0.0, bad: float = 0.1
    ) -> None:
        self._random = random.Random(seed)
        self._missed, self._stalls, self._bad = missed, stalls, bad
        self._port = port
        self.stations = [
            ViewStation(port, MemoryOutbox(), Topics("plant", "line1", f"s{number}")) for number in range(views)
        ]
        self.sights: dict[tuple[str, int], Sight] = {}
        self._parts = 0

    def run(
        self,
        parts: int,
        rate: float,
        delay_s: float,
        *,
        by_time: bool = False,
        pitch_s: float | None = None,
        every: Callable[[int], object] = lambda count: None,
    ) -> None:
        """Send parts past the stations.

        Args:
            parts: Number of parts.
            rate: Parts a second.
            delay_s: Longest random delay of a verdict, in seconds; verdicts of one station stay in order.
            by_time: Whether the parts have no ids.
            pitch_s: Time between two parts by the clocks of the boxes, in seconds; `None`: that of the rate.
            every: Called with the number of each event, between two events.
        """
        events: list[tuple[float, int, int]] = []
        for view in range(len(self.stations)):
            due = 0.0
            for number in range(parts):
                due = max(due, number / rate + self._random.uniform(0, delay_s))
                if self._stalls and self._random.random() < self._stalls:
                    due += self._random.uniform(2.2, 2.8)
                if self._random.random() >= self._missed:
                    events.append((due, view, number))
        begin, base = time.monotonic(), self._parts
        for count, (due, view, number) in enumerate(sorted(events)):
            time.sleep(max(0.0, begin + due - time.monotonic()))
            self._see(view, base + number, (base + number) * (pitch_s or 1 / rate), by_time=by_time)
            if self._random.random() < 0.02:
                station = self.stations[view]
                newest = station.outbox.sequence(station.topics.station)
                station.publisher.resend(max(1, newest - 10), newest)
            every(count)
        self._parts += parts

    def restart(self, view: int) -> None:
        """End a station's process and start it again; its outbox is on a disk."""
        old = self.stations[view]
        old.publisher.close()
        self.stations[view] = ViewStation(self._port, old.outbox, old.topics)

    def close(self) -> None:
        for station in self.stations:
            station.publisher.close()

    def _see(self, view: int, part: int, at: float, *, by_time: bool) -> None:
        station, ok = self.stations[view], self._random.random() >= self._bad
        sequence = station.outbox.sequence(station.topics.station) + 1
        self.sights[f"v{view}", sequence] = Sight(part, ok)
        jitter = self._random.uniform(0, 0.005)
        station.see(ok=ok, part_id=None if by_time else f"P{part}", at=at + jitter)


@dataclass
class Findings:
    """The check of the joint verdicts.

    Attributes:
        parts: Number of parts that at least one station has seen.
        missing: Parts that were rejected because a station has missed their trigger.
        late: Parts that were rejected because a verdict came too late, although it was published.
        mistakes: What is wrong: parts lost or decided twice, rules not kept, views of two parts in one verdict.
    """

    parts: int = 0
    missing: int = 0
    late: int = 0
    mistakes: list[str] = field(default_factory=list)


def check(
    verdicts: Iterable[dict[str, Any]], line: SeenLine, votes: int, deciding: Sequence[str] | None = None
) -> Findings:
    """Compare joint verdicts, as a subscriber has received them, with what the stations have said: brute force.

    Args:
        verdicts: The joint verdicts, with repeats.
        line: The stations.
        votes: Number of views that must reject a part.
        deciding: The views that decide; `None`: all.
    """
    found = Findings()
    views = set(deciding if deciding is not None else (f"v{number}" for number in range(len(line.stations))))
    truth: dict[int, dict[str, bool]] = {}
    for (view, _), sight in line.sights.items():
        truth.setdefault(sight.part, {})[view] = sight.ok
    found.parts = len(truth)
    by_id: dict[str, dict[str, Any]] = {}
    for verdict in verdicts:
        if by_id.setdefault(verdict["id"], verdict) != verdict:
            found.mistakes.append(f"{verdict['id']} came with two contents")
    decided: dict[int, int] = {}
    for verdict in by_id.values():
        came = [view for view in verdict["views"] if view["id"] is not None]
        sights = {view["name"]: line.sights[view["name"], view["sequence"]] for view in came}
        parts = {sight.part for sight in sights.values()}
        if len(parts) != 1:
            found.mistakes.append(f"verdict {verdict['sequence']} has views of the parts {sorted(parts)}")
            continue
        part = parts.pop()
        decided[part] = decided.get(part, 0) + 1
        if verdict["part_id"] not in (None, f"P{part}"):
            found.mistakes.append(f"verdict {verdict['sequence']} has part id {verdict['part_id']}, it is part {part}")
        rejecting = sum(not sight.ok for view, sight in sights.items() if view in views)
        absent = views - sights.keys()
        if verdict["ok"] != (not absent and rejecting < votes):
            found.mistakes.append(f"part {part}: ok is {verdict['ok']}, but {rejecting} reject, {absent} are missing")
        if (verdict["reason"] == "view_missing") != bool(absent):
            found.mistakes.append(f"part {part}: reason {verdict['reason']}, {absent} are missing")
        if absent & truth[part].keys():
            found.late += 1
        elif absent:
            found.missing += 1
    if twice := sorted(part for part, count in decided.items() if count > 1):
        found.mistakes.append(f"decided twice: {twice}")
    if lost := sorted(truth.keys() - decided.keys()):
        found.mistakes.append(f"lost: {lost}")
    numbers = sorted(verdict["sequence"] for verdict in by_id.values())
    if numbers != list(range(1, len(numbers) + 1)):
        found.mistakes.append(f"sequence numbers have gaps or repeats: {numbers}")
    return found
