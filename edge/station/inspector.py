"""The inspector of a station: takes the frames that wait, has them inspected, and stores their verdicts.

Where more frames wait, their maps are begun before the one before them is read, if the engine computes several at a
time. Everything else is done frame by frame in the order in which they were taken.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.engines import AnomalyMap, BegunMap
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.health.picture import examine
from edge_inspect.edge.health.stage import Stage, StageName
from edge_inspect.edge.sinks.sink import Sink
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.part import InspectedPart, PartInProgress
from edge_inspect.edge.station.part_keepers import PartKeepers
from edge_inspect.edge.station.recipes import StationRecipes
from edge_inspect.edge.station.ring import FrameRing, WaitingFrame
from edge_inspect.edge.station.shadows import StationShadows
from edge_inspect.edge.station.state import StationState
from edge_inspect.edge.station.statistics import Statistics
from edge_inspect.edge.text import clean

log = logging.getLogger(__name__)

SLOW_FLUSH_S = 1.0
"""If the outbox has been flushing for longer, in seconds, a stored verdict does not count as progress of the disk."""


@dataclass(eq=False)
class TakenFrame:
    """A frame that the engine thread has taken out of the ring and not inspected yet.

    Attributes:
        waiting: The frame.
        begun: Its map, if the engine has begun it.
    """

    waiting: WaitingFrame
    begun: BegunMap | None = None


class Inspector:
    """Inspects the frames of a station. Only the engine thread may call `take`, `begin`, `inspect` and `lose`.

    Args:
        name: Name of the station.
        box: The objects that all stations share.
        stages: Stages of the station, by name; `engine` and `outbox` are kept up to date for the watchdog.
        ring: Ring in which frames wait.
        recipes: Recipes of the station, with their bundles.
        shadows: Shadows of the station.
        keepers: Get the frames of parts after their verdicts.
        statistics: Counts the parts.
        state: State of the station, which a lost part degrades and a verdict recovers.
        sink: Sink whose addresses the stored messages get.
    """

    def __init__(
        self,
        name: str,
        box: BoxResources,
        *,
        stages: Mapping[StageName, Stage],
        ring: FrameRing,
        recipes: StationRecipes,
        shadows: StationShadows,
        keepers: PartKeepers,
        statistics: Statistics,
        state: StationState,
        sink: Sink,
    ) -> None:
        self._name, self._box, self._stages, self._ring = name, box, stages, ring
        self._recipes, self._shadows, self._keepers = recipes, shadows, keepers
        self._statistics, self._state, self._sink = statistics, state, sink
        self._in_progress = PartInProgress()
        self._taken: deque[TakenFrame] = deque()

    def take(self) -> TakenFrame | None:
        """Take the oldest waiting frame; `None` if no frame waits, or if its bundle is still being opened."""
        self._recipes.take_next(self._waiting_recipes)
        stage = self._stages["engine"]
        waiting = self._ring.take(lambda oldest: self._recipes.is_settled(oldest.capture.recipe))
        if waiting is None:
            oldest = next(iter(self._ring.waiting), None)
            if oldest is not None:
                self._recipes.begin_to_open(oldest.capture.recipe)
            if stage.situation.doing != "failed":
                stage.idle("no frame waits" if oldest is None else "the bundle of its recipe is being opened")
            return None
        self._taken.append(TakenFrame(waiting))
        return self._taken[-1]

    def begin(self, taken: TakenFrame) -> None:
        """Have the engine begin the map of a frame that was taken, if it computes several at a time and does not fail.

        An error is not reported here: the frame is inspected all the same, and then it is.
        """
        stage, capture = self._stages["engine"], taken.waiting.capture
        if stage.situation.doing == "failed":
            return
        stage.work()  # so that an engine that hangs here is noticed
        try:
            taken.begun = self._recipes.begin(capture.recipe, capture.frame)
        except Exception as error:
            log.debug("%s: the map of a frame cannot be begun: %r", self._name, error)
        stage.idle("more frames wait")

    def inspect(self, taken: TakenFrame) -> None:
        """Inspect a frame that was taken; frames must be inspected in the order in which they were taken."""
        self._taken.remove(taken)
        waiting = taken.waiting
        recipe = waiting.capture.recipe
        if self._recipes.bundle_of(recipe) is None:
            # No failure of the engine: building it again would not help. Without a problem, another part has just had
            # the bundle tried again.
            self._miss(
                self._recipes.problem(recipe) or f"recipe {recipe}: its bundle could not be opened for this part"
            )
            self._ring.recycle(waiting.capture.frame)
            return
        self._stages["engine"].work()
        self._in_progress.begin(waiting)
        part, saved = None, False
        try:
            part, anomaly = self._inspect(taken)
        except Exception as error:
            if self._in_progress.finish(waiting):
                self._lose(error)
        if part is not None:
            saved = self._finish(part, anomaly)
        if not saved:
            self._ring.recycle(waiting.capture.frame)

    def lose(self, taken: TakenFrame) -> None:
        """Count a frame that was taken as lost, because there is no time to inspect it."""
        self._taken.remove(taken)
        self._statistics.count_failed()

    def abandon(self) -> None:
        """Give up the part in progress, together with an engine that hangs. Any thread may call this."""
        self._statistics.count_failed(self._in_progress.abandon())
        self._stages["engine"].idle("it was built again")

    def _lose(self, error: Exception) -> None:
        """Count a part that gets no verdict; after ten in a row the supervisor has the engine built again."""
        problem = clean(str(error))
        if not isinstance(error, EngineError):  # a bug of this program, which must cost only this part
            log.exception("%s: a part gets no verdict", self._name)
            problem = f"unexpected error: {error!r}; the log has the traceback"
        self._stages["engine"].fail(problem)
        self._miss(problem)

    def _miss(self, problem: str) -> None:
        self._statistics.count_failed()
        self._state.degrade(problem)

    def _waiting_recipes(self) -> set[str | None]:
        frames = [*self._ring.waiting, *(taken.waiting for taken in self._taken)]
        return {waiting.capture.recipe for waiting in frames}

    def _inspect(self, taken: TakenFrame) -> tuple[InspectedPart | None, AnomalyMap]:
        """Inspect a frame; the part is `None` if it was abandoned meanwhile, together with an engine that hung."""
        waiting = taken.waiting
        capture = waiting.capture
        loaded, anomaly, decision = self._recipes.inspect(capture.recipe, capture.frame, taken.begun)
        if not self._in_progress.finish(waiting):
            return None, anomaly
        return InspectedPart(capture, loaded, decision, (time.monotonic() - waiting.since) * 1000), anomaly

    def _finish(self, part: InspectedPart, anomaly: AnomalyMap) -> bool:
        """Store the verdict; return whether the frame is kept for saving or publishing, and must not be overwritten."""
        engine, outbox = self._stages["engine"], self._stages["outbox"]
        engine.idle("its verdict is being stored")
        outbox.work()
        shadow = self._shadows.of(part.capture.recipe)
        try:
            shadow.follow(part.bundle)
            verdict = self._store(part, in_shadow=shadow.is_on)
        except Exception as error:
            outbox.idle("nothing to store")
            self._lose(error)
            return False
        if self._box.outbox.flushing_s() < SLOW_FLUSH_S:
            outbox.advance()
            outbox.idle("nothing to store")
        engine.advance()
        engine.idle("its verdict is stored")
        self._statistics.count(verdict.ok, part.latency_ms)
        self._state.recover()
        try:
            part.bundle.watch.add(part.decision)
            sample = verdict.shadow and shadow.wants_frame
            if verdict.shadow:
                shadow.take(verdict, examine(part.capture.frame, part.bundle.measured))
            return self._keepers.offer(part, verdict, anomaly, sample=sample)
        except Exception:  # a bug of this program; the part has its verdict already
            log.exception("%s: a part is missing in the statistics of scores, the evidence or the pictures", self._name)
            return True

    def _store(self, part: InspectedPart, *, in_shadow: bool) -> Verdict:
        box, address = self._box, self._sink.address
        return part.store(box.outbox, self._name, box.boot_id, shadow=in_shadow, address=address)
