"""A station: one camera, one product, one place in the topic tree."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from edge_inspect.edge import __version__
from edge_inspect.edge.cameras import Capture
from edge_inspect.edge.configuration.settings import Settings
from edge_inspect.edge.configuration.station_settings import StationSettings
from edge_inspect.edge.contract.commands import Refused
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import State, Status
from edge_inspect.edge.contract.replies import BundleChange
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.engines import Engine
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.health.picture import examine
from edge_inspect.edge.health.report import StationReport
from edge_inspect.edge.health.stage import Stage, StageName
from edge_inspect.edge.mqtt.pictures import open_pictures
from edge_inspect.edge.sinks.sink import open_sink
from edge_inspect.edge.station.alarms import Alarms
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.camera_thread import CameraThread
from edge_inspect.edge.station.change_records import RequestedBy
from edge_inspect.edge.station.command_admission import CommandAdmission
from edge_inspect.edge.station.command_execution import CommandExecutor, CommandInbox, possible_commands
from edge_inspect.edge.station.frame_requests import FrameRequest, FrameRequests
from edge_inspect.edge.station.inspector import Inspector
from edge_inspect.edge.station.loaded_bundle import LoadedBundle
from edge_inspect.edge.station.part_keepers import PartKeepers
from edge_inspect.edge.station.recipes import RecipeListener, StationRecipes
from edge_inspect.edge.station.ring import FrameRing
from edge_inspect.edge.station.shadows import StationShadows
from edge_inspect.edge.station.state import StationState
from edge_inspect.edge.station.station_health import StationHealth
from edge_inspect.edge.station.statistics import Statistics
from edge_inspect.edge.triggers import parse_trigger, start_trigger
from edge_inspect.edge.triggers.thread import TriggerThread

log = logging.getLogger(__name__)

FAILURES = 10
"""Number of failures in a row after which the engine is built again."""


class Station:
    """Reads frames from its camera, inspects them, and puts the verdicts into the outbox.

    Args:
        settings: The whole configuration.
        station: Settings of this station.
        box: The objects that all stations share.

    Raises:
        OutboxError: A record of changes by commands cannot be read.
        BundleError: The bundle is damaged, or lacks the signature that the configuration requires.
        EngineError: No engine that reproduces the golden frames can be built.

    Attributes:
        stages: Camera, engine and outbox, as the watchdog sees them.
        ended: Set when the camera gives no more frames.
        ring: The frames that wait for the engine.
        inspector: Inspects them in the engine thread.
        state: The state that the status shows, with faults and alarms.
        recipes: The recipes with their bundles, and the change of both.
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
        self.ring = FrameRing(station.queue, station.policy, box.ready)
        self._statistics = Statistics()
        self._trigger_waits = parse_trigger(station.trigger)[0].can_wait
        self._requests = FrameRequests(triggered=station.trigger != "camera", waiting=station.queue)
        self._camera = CameraThread(self.name, station.camera, self._requests, self.ring, self.stages["camera"], self)
        self.state = StationState(self.name, lambda *state: self._sink.set_status(self._status(*state)))
        self._alarms = Alarms(self.state, box.outbox, self.ring)
        self._shadows = StationShadows(station, box, self.state.note)
        self._trigger: TriggerThread | None = None
        commands = settings.commands
        admission = CommandAdmission(commands.allow, commands.max_age_s, memory=box.command_memory(station.name))
        inbox, started = CommandInbox(), time.monotonic()
        self._recipe: str | None = None
        # The sink is opened before the engine is built, so that subscribers see `starting` during that time.
        allowed = possible_commands(commands, station)
        status, degrade = self._status("starting"), self.state.degrade
        self._sink = open_sink(settings, self.name, box.outbox, status, inbox.receive, degrade, allowed=allowed)
        self._keepers = PartKeepers(self.name, box.evidence, open_pictures(settings, station))
        try:
            listener = RecipeListener(degrade, self._follow, self._tell_recipe)
            self.recipes = StationRecipes(settings, station, box, listener)
            self._recipe = self.recipes.active
            self._commands = CommandExecutor(
                commands, admission, station, box, self._requests, self.state, self._shadows, self.recipes, self._sink
            )
            self.inspector = Inspector(
                self.name,
                box,
                stages=self.stages,
                ring=self.ring,
                recipes=self.recipes,
                shadows=self._shadows,
                keepers=self._keepers,
                statistics=self._statistics,
                state=self.state,
                sink=self._sink,
            )
            self._health = StationHealth(
                Topics(settings.site, settings.line, station.name),
                box,
                self._sink,
                stages=self.stages,
                ring=self.ring,
                statistics=self._statistics,
                recipes=self.recipes,
                shadows=self._shadows,
                pictures=self._keepers.pictures,
                state=self.state,
                commands=self._commands.counts,
                started=started,
            )
            inbox.open(self._commands.receive)
        except BaseException:
            self._keepers.close()
            self._sink.close()
            raise

    def start(self) -> None:
        """Start the camera thread and the trigger, and publish `online`.

        Raises:
            TriggerError: A package that the trigger needs is not installed.
        """
        if self._outbox.recovered_from is not None:
            self.state.degrade(f"the outbox was damaged and set aside as {self._outbox.recovered_from}")
        self.state.start()
        self._camera.start()
        trigger, name = self._station.trigger, f"trigger-{self.name}"
        self._trigger = start_trigger(trigger, self.request_part, self.state.degrade, name=name)
        self.recipes.start()

    def confirm(self) -> None:
        """Record the configured bundle, now that all stations of the configuration have started.

        Raises:
            OutboxError: The record of bundles cannot be read.
        """
        self.recipes.confirm()

    def load_bundle(self, path: Path) -> None:
        """Begin to load the bundle that a new configuration names, and return at once.

        The bundle in force stays in force meanwhile. If the new one cannot be loaded, log and status say why.
        """

        def answer(refused: Refused | None, change: BundleChange | None) -> None:
            if refused is not None:
                self.state.degrade(f"bundle {path}: {refused}")
            elif change is not None and change.before != change.after:
                log.info("%s: inspects with %s, before with %s", self.name, change.after.name, change.before.name)

        try:
            self.recipes.change_bundle(
                path.absolute(), RequestedBy("configuration"), answer, configured=path.absolute()
            )
        except Refused as refused:
            answer(refused, None)

    def reopen_camera(self) -> None:
        """Open the camera again in a new thread, and leave the one that hangs behind."""
        self._camera.reopen()

    @property
    def engine(self) -> Engine:
        """The engine that inspects now, or did so last."""
        return self.recipes.engine

    def uses(self, engine: Engine) -> bool:
        """Return whether a bundle of this station uses an engine."""
        return self.recipes.uses(engine)

    def rebuild_engine(self, engine: Engine) -> None:
        """Leave an engine that hangs behind, with its current part, and use a new one. This may take minutes.

        Raises:
            EngineError: No engine can be built.
            BundleError: The files of the bundle are missing or have changed.
        """
        self.state.degrade("the engine hangs, or fails at every part; it is built again")
        self.recipes.rebuild(engine)
        self.inspector.abandon()

    def choose_recipe(self, capture: Capture, request: FrameRequest) -> str | None:
        """Return the recipe of a frame. `CameraListener` describes this and the next four methods."""
        if self._requests.triggered and request.inspect:
            return self.recipes.choose(capture.part_id, self.recipes.in_force_at(request.after))
        # Clocks may be set, but not often between the picture and here.
        age_s = max(0.0, (utc_now() - capture.captured_at).total_seconds())
        in_force = self.recipes.in_force_at(time.monotonic() - age_s)
        return self.recipes.choose(capture.part_id, in_force) if request.inspect else in_force

    def see(self, capture: Capture, live: bool) -> None:
        """Examine a frame that has come."""
        self._statistics.count_failed(capture.missed)
        if (loaded := self.recipes.bundle_of(capture.recipe)) is not None:
            loaded.watch.see(examine(capture.frame, loaded.measured), live=live)

    def show(self, snapshots: Iterable[str], frame: Frame | None, problem: str = "") -> None:
        """Answer snapshots with a frame, or with the reason why there is none."""
        self._commands.show(snapshots, frame, problem)

    def miss(self, problem: str, parts: int = 1) -> None:
        """Count parts that get no verdict, and publish why."""
        self._statistics.count_failed(parts)
        self.state.degrade(problem)

    def end(self) -> None:
        """Note that the camera gives no more frames."""
        self.ended.set()
        self._box.ready.set()

    def stop(self) -> None:
        """Take no more frames; frames that wait can still be inspected."""
        self._camera.stop()
        self._requests.close()
        self.ring.close()

    def close(self, timeout: float) -> None:
        """Publish as much as possible within `timeout` seconds, then `offline`, and end the threads."""
        self.stop()
        if self._trigger is not None:
            self._trigger.close()
        self.recipes.close()
        self._camera.close(timeout / 4)
        while self.ring.take() is not None:  # there was no time to inspect them
            self._statistics.count_failed()
        self._keepers.close()
        self.publish_health()
        self._sink.close(timeout * 3 / 4)

    @property
    def health(self) -> Health | None:
        """The health that was published last."""
        return self._health.published

    @property
    def has_news(self) -> bool:
        """Whether a warning about rejects, scores or pictures, or the recipe, has changed since the last health."""
        return self._health.has_news

    def publish_health(self) -> None:
        """Publish the health, and set or end the alarm."""
        try:
            warnings = self._health.publish()
            self._alarms.look(warnings, hurried=self._camera.live or self._station.trigger != "camera")
        except Exception:  # a bug of this program, which must not end the service
            log.exception("%s: health cannot be published", self.name)

    def report(self) -> StationReport:
        """Return the report for `/healthz` and `/metrics`, without reading from a disk, which may hang."""
        return self._health.report()

    def request_part(self) -> None:
        """Ask for the frame of a part; the trigger calls this. A part that finds no room is counted as lost.

        With policy `every`, a trigger that can wait, as a clock can, waits until there is room.
        """
        if self.state.paused or self._requests.closed:
            return
        wait = self._station.policy == "every" and self._trigger_waits
        if not self._requests.request_part(None, wait=wait) and not self._requests.closed:
            self._statistics.count_failed()
            self._alarms.let_pass()

    @property
    def inspected(self) -> int:
        """Number of parts inspected since the start."""
        return self._statistics.inspected

    @property
    def lost(self) -> int:
        """Number of frames and parts without a verdict since the start."""
        return self._statistics.frames(self.ring.dropped).dropped

    def _follow(self, recipe: str | None, loaded: LoadedBundle) -> None:
        self._shadows.of(recipe).follow(loaded)

    def _tell_recipe(self) -> None:
        self._recipe = self.recipes.active
        self.state.repeat()

    def _status(self, state: State, reason: str | None = None) -> Status:
        sequence = self._outbox.sequence(self.name)
        return Status(
            boot_id=self._box.boot_id,
            sequence=sequence,
            state=state,
            at=utc_now(),
            reason=reason,
            recipe=self._recipe,
            version=__version__,
        )
