"""The roll-out: changes the stations of one wave after another, and rolls all of them back if one is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable

from pydantic import ValidationError

from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.errors import CheckFailed
from edge_inspect.edge.fleet.known_stations import KnownStations, split_topic
from edge_inspect.edge.fleet.rollout_record import RolloutRecord
from edge_inspect.edge.fleet.station_row import SILENT_AFTER_S
from edge_inspect.edge.fleet.station_task import CommandLink, StationTask
from edge_inspect.edge.fleet.station_watch import ENOUGH

KINDS = ("status", "health", "reply", "verdict")
"""Last levels of the topics that a roll-out listens to."""
_EVERY_S = 0.1


class Rollout:
    """A roll-out in progress. One thread calls `receive` with what comes, and `step` again and again.

    Args:
        record: Its record, which may be of an interrupted roll-out.
        stations: What is known of the stations.
        link: The connection to the broker.
        say: Called with a line about each thing that happens.

    Attributes:
        record: Its record.
        tasks: The stations, by site/line/station, in the order in which they are changed.
        paused: Whether no further station is changed for now.
    """

    def __init__(
        self, record: RolloutRecord, stations: KnownStations, link: CommandLink, say: Callable[[str], None]
    ) -> None:
        self.record, self._stations, self._link, self._say = record, stations, link, say
        self._waves = record.plan.waves
        self.tasks = {key: StationTask(key, record, link, say) for key in record.plan.stations}
        self.paused = False
        self._stepped_at = time.monotonic()
        self._wave = self.wave

    @property
    def wave(self) -> int:
        """Number of the wave whose stations are changed now, from 0; the number of waves if all stations are good."""
        for number, wave in enumerate(self._waves):
            if any(self.tasks[key].entry.state != "good" for key in wave.stations):
                return number
        return len(self._waves)

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take a message of a station."""
        key, kind = split_topic(topic)
        task = self.tasks.get(key)
        # Verdicts are most of the messages, and those of stations that are not watched are of no use.
        if task is None or (kind == "verdict" and (task.watch is None or task.watch.is_complete)):
            return
        if kind == "reply":
            try:
                task.take_reply(Reply.model_validate_json(payload))
            except ValidationError:  # sent by a later release, or by another program
                return
        elif (found := self._stations.read(topic, payload, retained)) is not None:
            task.known = self._stations[key]
            task.take(found[1])

    def step(self) -> bool:
        """Do what is due; return whether the roll-out has come to its end.

        Raises:
            CheckFailed: No station of the roll-out was heard at all.
            ConnectionProblem: The connection was lost.
            UsageError: The record cannot be written.
        """
        now = time.monotonic()
        if not self._link.connected or now - self._stepped_at < _EVERY_S or not self._is_heard(now):
            return False
        if self._link.connected_at > self._stepped_at:
            for task in self.tasks.values():
                task.wait_longer(now - self._stepped_at)
        self._stepped_at = now
        stopped = self.record.stopped is not None
        for task in self.tasks.values():
            task.advance(back=stopped)
        return self._go_back() if stopped else self._go_on()

    def _is_heard(self, now: float) -> bool:
        """Return whether any station was heard. Else this may be another broker, and nothing is done.

        Raises:
            CheckFailed: None was heard for so long that even a broker that keeps nothing would have had something.
        """
        if any(task.known.status or task.known.health for task in self.tasks.values()):
            return True
        if now - self._link.connected_at > SILENT_AFTER_S:
            raise CheckFailed(
                f"{self.record.path}: none of its {len(self.tasks)} stations was heard within {SILENT_AFTER_S:g} s, "
                "and nothing was changed; go on with --resume and the options of the broker that the stations use"
            )
        return False

    def _go_on(self) -> bool:
        """Stop, or change the stations of the present wave; return whether all stations are good."""
        if (reason := self._mistake()) is not None:
            self.record.stop(reason)
            changed = any(task.is_changed for task in self.tasks.values())
            self._say(f"stopped: {reason}" + ("; all changed stations are rolled back" if changed else ""))
            return False
        number = self.wave
        for wave in self._waves[self._wave : number]:
            self._say(f"wave {wave.name}: done ({len(wave.stations)} stations)")
        self._wave = number
        if number == len(self._waves):
            self.record.finish()
            return True
        for key in self._waves[number].stations:
            if self.tasks[key].entry.state == "waiting" and not self.paused:
                self.tasks[key].change()
        return False

    def _go_back(self) -> bool:
        """Return whether every station is rolled back, or cannot be."""
        if any(task.is_open for task in self.tasks.values()):
            return False
        if not any(task.entry.state == "stuck" for task in self.tasks.values()):
            self.record.finish()
        return True

    def _mistake(self) -> str | None:
        """Return why the roll-out has to be stopped; `None` if it goes on."""
        for task in self.tasks.values():
            if task.entry.state == "refused":
                return f"{task.key} was not changed: {task.entry.detail}"
            if task.problem is not None:
                return f"{task.key}: {task.problem}"
        for wave in self._waves[: self.wave]:
            if not any(self.tasks[key].has_proof for key in wave.stations):
                return (
                    f"no station of the wave {wave.name} inspected {ENOUGH} parts within "
                    f"{self.record.plan.watch_seconds:g} s, so the bundle is not proven; start again when the line "
                    "runs, or with more --watch-seconds"
                )
        return None
