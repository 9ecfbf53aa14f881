"""A station: one camera, one product, one place in the topic tree."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from edge_inspect.edge import __version__
from edge_inspect.edge.cameras import Capture
from edge_inspect.edge.configuration.settings import Settings, StationSettings
from edge_inspect.edge.contract.commands import BundleChange, Refused
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import State, Status, Verdict
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.engines import AnomalyMap, Engine
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.health.picture import examine
from edge_inspect.edge.health.report import StationReport
from edge_inspect.edge.health.stage import Stage, StageName
from edge_inspect.edge.outbox import Outgoing
from edge_inspect.edge.sinks.sink import open_sink
from edge_inspect.edge.station.alarms import Alarms
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.bundles import RequestedBy, StationBundles
from edge_inspect.edge.station.camera_thread import CameraThread
from edge_inspect.edge.station.command_admission import CommandAdmission
from edge_inspect.edge.station.command_execution import CommandExecutor, CommandInbox, possible_commands
from edge_inspect.edge.station.frame_requests import FrameRequests
from edge_inspect.edge.station.part import InspectedPart, PartInProgress, outgoing
from edge_inspect.edge.station.ring import FrameRing, WaitingFrame
from edge_inspect.edge.station.shadow import Shadow
from edge_inspect.edge.station.state import StationState
from edge_inspect.edge.station.station_health import StationHealth
from edge_inspect.edge.station.statistics import Statistics
from edge_inspect.edge.text import clean
from edge_inspect.edge.triggers import parse_trigger, start_trigger
from edge_inspect.edge.triggers.thread import TriggerThread

log = logging.getLogger(__name__)

FAILURES = 10
"""In a row; then the engine is built again."""
SLOW_FLUSH_S = 1.0
"""Verdicts that are not flushed are not sent: then storing them is no progress."""


class Station:
    """Takes frames from its camera, has them inspected, and puts what was decided into the outbox.

    The camera runs in a thread of its own from `start`; `inspect_next` is called by the engine thread.

    Args:
        settings: The whole configuration.
        station: This station's part of it.
        box: What the stations share.

    Raises:
        OutboxError: A record of what commands have changed cannot be read.
        BundleError: The bundle is damaged, or not signed as the configuration asks.
        EngineError: No engine that reproduces the golden frames can be built.
    """

    def __init__(self, settings: Settings, station: StationSettings, box: BoxResources) -> None:
        self.name = station.name
        self._station, self._box, self._outbox = station, box, box.outbox
        limits = settings.health
        self.stages: dict[StageName, Stage] = {
            "camera": Stage(station.name, "camera", limits.camera_limit_s),
            "engine": Stage(station.name, "engine", limits.engine_limit_s, FAILURES),
            "outbox": Stage(station.name, "outbox", limits.outbox_limit_s),
        }
        self.ended = threading.Event()  # set when the camera gives no more frames
        self._ring = FrameRing(station.queue, station.policy, box.ready)
        self._statistics, self._in_progress = Statistics(), PartInProgress()
        self._trigger_waits = parse_trigger(station.trigger)[0].can_wait
        self._requests = FrameRequests(triggered=station.trigger != "camera", waiting=station.queue)
        self._camera = CameraThread(self.name, station.camera, self._requests, self._ring, self.stages["camera"], self)
        self._state = StationState(self.name, lambda *state: self._sink.set_status(self._status(*state)))
        self._alarms = Alarms(self._state, box.outbox, self._ring)
        self._shadow = Shadow(box.shadow_file(station.name), station.name, station.shadow, self._state.note)
        self._trigger: TriggerThread | None = None
        allow, max_age_s = settings.commands.allow, settings.commands.max_age_s
        admission = CommandAdmission(allow, max_age_s, memory=box.command_memory(station.name))
        inbox, started = CommandInbox(), time.monotonic()
        # Opened before the engine is built, which takes its time: whoever listens hears that the station starts.
        self._sink = open_sink(
            settings,
            self.name,
            box.outbox,
            self._status("starting"),
            inbox.receive,
            self._state.degrade,
            allowed=possible_commands(settings.commands, station),
        )
        try:
            self._bundles = StationBundles(settings, station, box, self._state.degrade)
            self._shadow.follow(self._bundles.current)
            self._commands = CommandExecutor(
                settings.commands,
                admission,
                station,
                box,
                self._requests,
                self._state,
                self._shadow,
                self._bundles,
                self._sink,
            )
            self._health = StationHealth(
                Topics(settings.site, settings.line, station.name),
                box,
                self._sink,
                stages=self.stages,
                ring=self._ring,
                statistics=self._statistics,
                bundles=self._bundles,
                shadow=self._shadow,
                state=self._state,
                commands=self._commands.counts,
                started=started,
            )
            inbox.open(self._commands.receive)
        except BaseException:
            self._sink.close()
            raise

    def start(self) -> None:
        """Open the camera and say `online`.

        Raises:
            TriggerError: What the trigger needs is not installed.
        """
        if self._outbox.recovered_from is not None:
            self._state.degrade(f"the outbox was damaged and set aside as {self._outbox.recovered_from}")
        self._state.start()
        self._camera.start()
        trigger, name = self._station.trigger, f"trigger-{self.name}"
        self._trigger = start_trigger(trigger, self._take_part, self._state.degrade, name=name)

    def confirm(self) -> None:
        """Let the configuration hold: every station of it has started.

        Raises:
            OutboxError: The record of bundles cannot be read.
        """
        self._bundles.confirm()

    def inspect_next(self) -> bool:
        """Inspect the oldest waiting frame, if there is one; return whether there was."""
        self._bundles.take_next()
        stage = self.stages["engine"]
        waiting = self._ring.take()
        if waiting is None:
            if stage.situation.doing != "failed":
                stage.idle("no frame waits")
            return False
        stage.work()
        self._in_progress.begin(waiting)
        part, saved = None, False
        try:
            part, anomaly = self._inspect(waiting)
        except Exception as error:
            if self._in_progress.finish(waiting):
                self._lose(error)
        if part is not None:
            saved = self._finish(part, anomaly)
        if not saved:
            self._ring.recycle(waiting.capture.frame)
        return True

    def _lose(self, error: Exception) -> None:
        """Leave a part without a verdict; after ten in a row the supervisor has the engine built again."""
        problem = clean(str(error))
        if not isinstance(error, EngineError):  # a mistake of ours, which must cost this part alone
            log.exception("%s: a part gets no verdict", self.name)
            problem = f"an error that nobody expected: {error!r}; the log has more"
        self.stages["engine"].fail(problem)
        self.miss(problem)

    def load_bundle(self, path: Path) -> None:
        """Begin to load the bundle that the configuration names now; log, and tell in the status, why it cannot be.

        The one in use goes on meanwhile, and where the new one cannot be loaded. Returns at once.
        """

        def answer(refused: Refused | None, change: BundleChange | None) -> None:
            if refused is not None:
                self._state.degrade(f"bundle {path}: {refused}")
            elif change is not None and change.before != change.after:
                log.info("%s: judges by %s, before by %s", self.name, change.after.name, change.before.name)

        try:
            self._bundles.change(path.absolute(), RequestedBy("configuration"), answer, configured=path.absolute())
        except Refused as refused:
            answer(refused, None)

    def reopen_camera(self) -> None:
        """Leave the camera that hangs behind, with its thread, and open it again."""
        self._camera.reopen()

    @property
    def engine(self) -> Engine:
        """The engine of the bundle in force."""
        return self._bundles.current.engine

    def rebuild_engine(self) -> None:
        """Leave the engine that hangs behind, with the part it has, and use a new one. Takes its time.

        Raises:
            EngineError: None can be built.
            BundleError: The bundle's files are not there any more, or others.
        """
        self._state.degrade("the engine hangs, or fails at every part; it is built again")
        self._bundles.rebuild()
        self._statistics.count_failed(self._in_progress.abandon())
        self.stages["engine"].idle("it was built again")

    def see(self, capture: Capture, live: bool) -> None:
        """Look at a frame; see `CameraListener`, also for the next three methods."""
        self._statistics.count_failed(capture.missed)
        self._bundles.current.watch.see(examine(capture.frame), live=live)

    def show(self, snapshots: Iterable[str], frame: Frame | None, problem: str = "") -> None:
        """Answer snapshots."""
        self._commands.show(snapshots, frame, problem)

    def miss(self, problem: str, parts: int = 1) -> None:
        """Count and tell parts that get no verdict."""
        self._statistics.count_failed(parts)
        self._state.degrade(problem)

    def end(self) -> None:
        """Note that the camera gives no more frames."""
        self.ended.set()
        self._box.ready.set()

    def stop(self) -> None:
        """Take no more frames; those that wait can still be inspected."""
        self._camera.stop()
        self._requests.close()
        self._ring.close()

    def close(self, timeout: float) -> None:
        """Publish what can be published in time, say `offline`, and end the threads."""
        self.stop()
        if self._trigger is not None:
            self._trigger.close()
        self._bundles.close()
        self._camera.join(timeout / 4)
        while self._ring.take() is not None:  # there was no time to inspect them
            self._statistics.count_failed()
        self.publish_health()
        self._sink.close(timeout * 3 / 4)

    @property
    def health(self) -> Health | None:
        """The health that was published last."""
        return self._health.published

    @property
    def has_news(self) -> bool:
        """Whether a warning of rejects, scores or changed pictures has begun or ended since the last health."""
        return self._health.has_news

    def publish_health(self) -> None:
        """Publish how the station is doing."""
        try:
            warnings = self._health.publish()
            self._alarms.look(warnings, hurried=self._camera.live or self._station.trigger != "camera")
        except Exception:  # a mistake of ours, which must not end the service
            log.exception("%s: health cannot be published", self.name)

    def report(self) -> StationReport:
        """Return what `/healthz` and `/metrics` say of the station; asks nothing of a disk that may hang."""
        return self._health.report()

    def _take_part(self) -> None:
        """Ask for the part that a trigger has noticed. The clock can wait for room, a line's parts go by."""
        if self._state.paused or self._requests.closed:
            return
        wait = self._station.policy == "every" and self._trigger_waits
        if not self._requests.request_part(None, wait=wait) and not self._requests.closed:
            self._statistics.count_failed()
            self._alarms.let_pass()

    @property
    def inspected(self) -> int:
        """Parts inspected since the start."""
        return self._statistics.inspected

    def _inspect(self, waiting: WaitingFrame) -> tuple[InspectedPart | None, AnomalyMap]:
        """Inspect a frame; there is no part where it was left behind with its engine meanwhile."""
        loaded, anomaly, decision = self._bundles.inspect(waiting.capture.frame)
        if not self._in_progress.finish(waiting):
            return None, anomaly
        return InspectedPart(waiting.capture, loaded, decision, (time.monotonic() - waiting.since) * 1000), anomaly

    def _finish(self, part: InspectedPart, anomaly: AnomalyMap) -> bool:
        """Store what was decided; return whether the frame is kept as evidence, and so must not be written over."""
        engine, outbox = self.stages["engine"], self.stages["outbox"]
        engine.idle("its verdict is being stored")
        outbox.work()
        try:
            verdict = self._store(part)
        except Exception as error:
            outbox.idle("nothing to store")
            self._lose(error)
            return False
        if self._outbox.flushing_s() < SLOW_FLUSH_S:
            outbox.advance()
            outbox.idle("nothing to store")
        engine.advance()
        engine.idle("its verdict is stored")
        self._statistics.count(verdict.ok, part.latency_ms)
        self._state.recover()
        evidence = self._box.evidence
        try:
            part.bundle.watch.add(part.decision)
            sample = verdict.shadow and self._shadow.wants_frame
            if verdict.shadow:
                self._shadow.take(verdict, examine(part.capture.frame))
            return evidence is not None and evidence.offer(
                self.name, verdict, part.decision.regions, part.capture.frame, anomaly, sample=sample
            )
        except Exception:  # a mistake of ours; the part has its verdict
            log.exception("%s: a part is not in the score's statistics, or its evidence is not saved", self.name)
            return evidence is not None

    def _store(self, part: InspectedPart) -> Verdict:
        verdicts: list[Verdict] = []
        self._shadow.follow(part.bundle)
        shadow = self._shadow.is_on

        def make(sequence: int) -> list[Outgoing]:
            verdicts.append(part.verdict(self._box.boot_id, sequence, shadow=shadow))
            return outgoing(verdicts[-1], part.decision.regions, self._sink.address)

        self._outbox.put(self.name, make)
        return verdicts[-1]

    def _status(self, state: State, reason: str | None = None) -> Status:
        sequence = self._outbox.sequence(self.name)
        return Status(
            boot_id=self._box.boot_id, sequence=sequence, state=state, at=utc_now(), reason=reason, version=__version__
        )
