"""The watchdog: finds the stages that hang, and decides on the next step for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from edge_inspect.edge.health.stage import Stage, StageName


class Step(Enum):
    """A step that is taken when a stage hangs; its value is the sentence for the log."""

    REOPEN = "the camera is opened again"
    REBUILD = "the engine is built again"
    EXIT = "the process ends, so that systemd starts it again"


# A process cannot mend a disk that hangs, so its only step is the exit. If a camera or an engine still hangs after it
# was opened or built again, the fault may be in the state of the process, so the next step is the exit.
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
    """Decides which step to take for each stage that hangs.

    The first step is due as soon as a stage is overdue, each further step after its time limit has passed once more.
    Only progress starts the steps over: a camera that was opened again but gives no frame goes on to the next step.

    Args:
        stages: All stages of the box.
        clock: Returns the time in seconds; the same clock as that of the stages.
    """

    def __init__(self, stages: Sequence[Stage], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._climbs = [_Climb(stage) for stage in stages]

    def look(self) -> list[Due]:
        """Return the steps to take now. Each step is returned once."""
        now = self._clock()
        return [Due(climb.stage, step) for climb in self._climbs if (step := climb.look(now)) is not None]

    @property
    def stuck(self) -> list[Stage]:
        """The stages that hung at the last `look`, and those that have made no progress since a step was taken."""
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
