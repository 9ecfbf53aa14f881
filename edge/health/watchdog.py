"""The watchdog: which stages hang, and what is to be done about each, in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from edge_inspect.edge.health.stage import Stage, StageName


class Step(Enum):
    """What can be done about a stage that hangs."""

    REOPEN = "the camera is opened again"
    REBUILD = "the engine is built again"
    EXIT = "the process ends, to be started again by systemd"


# A disk that hangs cannot be helped from here. What a camera or an engine hangs in may be the process's own state.
LADDER: dict[StageName, tuple[Step, ...]] = {
    "camera": (Step.REOPEN, Step.EXIT),
    "engine": (Step.REBUILD, Step.EXIT),
    "outbox": (Step.EXIT,),
}


class Due(NamedTuple):
    """A step to take now."""

    stage: Stage
    step: Step


class Watchdog:
    """Says when systemd's watchdog may be fed: while every stage gets on, or is idle and has said why.

    A stage that is overdue has a step taken at once and the next ones each after its limit again. Only progress takes
    it back to the foot of its ladder: a camera that was opened again and answers, but gives no frame, still climbs.

    Args:
        stages: All of the box.
        clock: Seconds, the stages' own.
    """

    def __init__(self, stages: Sequence[Stage], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._climbs = [_Climb(stage) for stage in stages]

    def look(self) -> list[Due]:
        """Return the steps to take now; each is named once."""
        now = self._clock()
        return [Due(climb.stage, step) for climb in self._climbs if (step := climb.look(now)) is not None]

    @property
    def stuck(self) -> list[Stage]:
        """The stages that hung at the last look, with those that have done nothing since a step was taken."""
        return [climb.stage for climb in self._climbs if climb.stuck]


class _Climb:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.stuck = False
        self._taken = 0
        self._taken_at = 0.0
        self._progress = stage.progress

    def look(self, now: float) -> Step | None:
        stage = self.stage
        if stage.progress != self._progress:
            self._progress, self._taken = stage.progress, 0
        situation = stage.situation
        if self._taken:
            self.stuck = situation.doing != "idle"
            overdue = self.stuck and now - max(self._taken_at, situation.owing) > stage.limit_s
        else:
            overdue = self.stuck = stage.overdue(now)
        ladder = LADDER[stage.name]
        if not overdue or self._taken == len(ladder):
            return None
        self._taken, self._taken_at = self._taken + 1, now
        return ladder[self._taken - 1]
