"""`edge-inspect fleet fetch`: asks all stations at the same time for their logs and indices of evidence."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from itertools import chain

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.errors import CheckFailed, UsageError
from edge_inspect.edge.fleet.connection import FleetConnection
from edge_inspect.edge.fleet.known_stations import split_topic
from edge_inspect.edge.fleet.listing import list_stations
from edge_inspect.edge.fleet.selector import Selectors
from edge_inspect.edge.fleet.station_fetch import StationFetch, Wanted
from edge_inspect.edge.fleet.station_row import StationRow
from edge_inspect.edge.text import clean

_AT_ONCE = 100
"""Stations that are asked at the same time. What they send is in memory until their files are written."""
_SAY_EVERY_S = 5.0


def fetch(
    settings: MqttSettings, selectors: Selectors, wanted: Wanted, wait_s: float, say: Callable[[str], None]
) -> None:
    """Fetch reports from stations, and write them into a folder for each station.

    Args:
        settings: Settings of the connection.
        selectors: The stations.
        wanted: What is fetched.
        wait_s: Longest time to wait for the stations' messages, in seconds.
        say: Called with a line about each station, and with the progress.

    Raises:
        CheckFailed: The broker cannot be reached, no station was heard, or something did not come.
        UsageError: The folder cannot be created.
    """
    try:
        wanted.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {clean(wanted.out)}: cannot be created: {error.strerror}") from error
    rows = list_stations(settings, selectors, wait_s)
    link = FleetConnection(settings, selectors.topics(("reply",)))
    fleet = _Fleet(rows, [StationFetch(row["key"], row["version"], wanted, link) for row in rows], say)
    started = time.monotonic()

    def step() -> bool:
        link.check(started)
        return fleet.step()

    if not fleet.is_over:
        link.run(fleet.receive, step)
    if failed := [task.key for task in fleet.tasks if task.missing]:
        raise CheckFailed(
            f"{len(failed)} of {len(rows)} stations did not send everything; the lines above say why; "
            "to try these again: " + " ".join(f"--to {shlex.quote(clean(key))}" for key in failed)
        )


class _Fleet:
    """The stations of a fetch. Used by one thread."""

    def __init__(self, rows: Sequence[StationRow], tasks: list[StationFetch], say: Callable[[str], None]) -> None:
        self.tasks, self._say = tasks, say
        self._said_at, self._done = time.monotonic(), 0
        for row, task in zip(rows, tasks, strict=True):
            if row["state"] in (None, "offline"):
                task.fail(_absence(row))
                self._tell(task)
        self._waiting = [task for task in tasks if not task.is_over]
        self._asked: dict[str, StationFetch] = {}

    @property
    def is_over(self) -> bool:
        """Whether every station has answered, or cannot."""
        return not self._waiting and not self._asked

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take a reply."""
        key, kind = split_topic(topic)
        if kind == "reply" and not retained and key in self._asked:
            self._asked[key].receive(payload)

    def step(self) -> bool:
        """Do what is due; return whether the fetch has come to its end."""
        while self._waiting and len(self._asked) < _AT_ONCE:
            task = self._waiting.pop(0)
            task.start()
            self._asked[task.key] = task
        for task in list(self._asked.values()):
            task.advance()
            if task.is_over:
                del self._asked[task.key]
                self._tell(task)
        if time.monotonic() - self._said_at > _SAY_EVERY_S:
            self._said_at = time.monotonic()
            rows = sum(task.rows for task in self.tasks)
            self._say(f"{self._done} of {len(self.tasks)} stations are done; {rows} lines and parts have come")
        return self.is_over

    def _tell(self, task: StationFetch) -> None:
        self._done += 1
        self._say(f"[{self._done}/{len(self.tasks)}] {task.key}: {'; '.join(chain(task.came, task.missing))}")


def _absence(row: StationRow) -> str:
    if row["state"] is None:
        return "the station was never heard; check its name"
    return f"the station is offline: {row['reason'] or 'it was stopped'}"
