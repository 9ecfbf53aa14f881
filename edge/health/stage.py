"""A stage of the chain, as seen from outside: what it has in hand, and since when."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from edge_inspect.edge.contract.health import StageHealth, StageState

StageName = Literal["camera", "engine", "outbox"]


class Situation(NamedTuple):
    """What a stage is doing.

    Attributes:
        doing: At work; failed, with an answer; or idle, with a reason that it has declared.
        since: When this began.
        owing: Since when it has neither got on nor been idle.
        why: The reason, or the failure.
    """

    doing: Literal["work", "failed", "idle"]
    since: float
    owing: float
    why: str = ""


class Stage:
    """Camera, engine or outbox of one station. Its thread tells; the watchdog looks on and takes no lock.

    Once it has begun, a stage is at work until its thread says otherwise: one whose thread died or hangs is overdue
    some time later. One thread at a time tells.

    Args:
        station: Name of its station.
        name: Which stage.
        limit_s: How long a piece of work may take.
        failures: So many failures in a row are as bad as a hang; `None` where a failure is told and tried again.
        clock: Seconds.
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
        """Pieces of work done."""

    def __str__(self) -> str:
        return f"{self.station}: {self.name}"

    @property
    def situation(self) -> Situation:
        """What it is doing."""
        return self._situation

    def work(self) -> None:
        """Take work in hand; if there is some already, the clock runs on."""
        before = self._situation
        if before.doing != "work":
            now = self._clock()
            self._situation = Situation("work", now, now if before.doing == "idle" else before.owing)

    def advance(self) -> None:
        """Note that a piece of work is done, and that the next may begin: this alone is progress."""
        now = self._clock()
        self._failures = 0
        self.progress += 1
        self._situation = Situation("work", now, now)

    def fail(self, why: str) -> None:
        """Note that a piece of work could not be done, and that this was said."""
        self._failures += 1
        self._situation = Situation("failed", self._clock(), self._situation.owing, why)

    def idle(self, why: str) -> None:
        """Expect nothing of it until `work`."""
        if self._situation.doing != "idle" or self._situation.why != why:
            now = self._clock()
            self._situation = Situation("idle", now, now, why)

    @contextlib.contextmanager
    def idling(self, why: str) -> Iterator[None]:
        """Let it be idle inside the block and at work after it, however it ends."""
        self.idle(why)
        try:
            yield
        finally:
            self.work()

    def health(self) -> StageHealth:
        """Return what it is doing, for the message health."""
        situation, now = self._situation, self._clock()
        state: StageState = "working" if situation.doing == "work" else situation.doing
        if self.overdue(now):
            state = "stuck"
        seconds = round(now - situation.since, 3)
        return StageHealth(state=state, seconds=seconds, progress=self.progress, reason=situation.why or None)

    def overdue(self, now: float) -> bool:
        """Return whether it hangs: too long at one piece of work, or failed too often in a row."""
        situation = self._situation
        if situation.doing == "failed":
            return self._most_failures is not None and self._failures >= self._most_failures
        return situation.doing == "work" and now - situation.since > self.limit_s
