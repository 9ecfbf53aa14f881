"""A stage of a station (camera, engine or outbox), as the watchdog sees it: what it is doing, and since when."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from edge_inspect.edge.contract.health import StageHealth, StageState

StageName = Literal["camera", "engine", "outbox"]


class Situation(NamedTuple):
    """What a stage is doing. Times are those of its clock, in seconds.

    Attributes:
        doing: `work`; `failed`, after an error; or `idle`, for a reason that its thread has declared.
        since: Time at which this began.
        owing: Time of the last progress or of the end of the last idle period.
        why: Reason for being idle, or the error.
    """

    doing: Literal["work", "failed", "idle"]
    since: float
    owing: float
    why: str = ""


class Stage:
    """Camera, engine or outbox of one station. The stage's thread reports what it is doing; the watchdog only reads.

    A stage is at work until its thread reports otherwise, so a stage whose thread died or hangs becomes overdue. Only
    one thread at a time may report. Reading takes no lock.

    Args:
        station: Name of the station.
        name: Which stage this is.
        limit_s: Longest time for a piece of work, in seconds.
        failures: Number of failures in a row that counts as a hang; `None` if failures never do.
        clock: Returns the time in seconds.

    Attributes:
        progress: Number of pieces of work done.
    """

    def __init__(
        self,
        station: str,
        name: StageName,
        limit_s: float,
        failures: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.station, self.name, self.limit_s = station, name, limit_s
        self._most_failures, self._clock = failures, clock
        now = clock()
        self._situation = Situation("idle", now, now, "has not begun")
        self._failures = 0
        self.progress = 0

    def __str__(self) -> str:
        return f"{self.station}: {self.name}"

    @property
    def situation(self) -> Situation:
        """What the stage is doing."""
        return self._situation

    def work(self) -> None:
        """Report that a piece of work begins. If one has begun already, its time goes on."""
        before = self._situation
        if before.doing != "work":
            now = self._clock()
            self._situation = Situation("work", now, now if before.doing == "idle" else before.owing)

    def advance(self) -> None:
        """Report that a piece of work is done and the next may begin. Only this counts as progress."""
        now = self._clock()
        self._failures = 0
        self.progress += 1
        self._situation = Situation("work", now, now)

    def fail(self, why: str) -> None:
        """Report that a piece of work failed; the caller has published the error."""
        self._failures += 1
        self._situation = Situation("failed", self._clock(), self._situation.owing, why)

    def idle(self, why: str) -> None:
        """Report that the stage has nothing to do until the next `work`."""
        if self._situation.doing != "idle" or self._situation.why != why:
            now = self._clock()
            self._situation = Situation("idle", now, now, why)

    @contextlib.contextmanager
    def idling(self, why: str) -> Iterator[None]:
        """Report that the stage is idle during the block, and at work after it, even if the block raises."""
        self.idle(why)
        try:
            yield
        finally:
            self.work()

    def health(self) -> StageHealth:
        """Return what the stage is doing, for the health message."""
        situation, now = self._situation, self._clock()
        state: StageState = "working" if situation.doing == "work" else situation.doing
        if self.overdue(now):
            state = "stuck"
        seconds = round(now - situation.since, 3)
        return StageHealth(state=state, seconds=seconds, progress=self.progress, reason=situation.why or None)

    def overdue(self, now: float) -> bool:
        """Return whether the stage hangs: it works too long on one piece of work, or failed too often in a row."""
        situation = self._situation
        if situation.doing == "failed":
            return self._most_failures is not None and self._failures >= self._most_failures
        return situation.doing == "work" and now - situation.since > self.limit_s
