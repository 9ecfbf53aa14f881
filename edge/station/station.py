"""A station: one camera, one product, one place in the topic tree."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from edge import __version__
from edge.bundle import Bundle
from edge.cameras import Camera, Capture, open_camera
from edge.decision import Decider, Decision
from edge.engines import Engine, open_checked_engine
from edge.errors import CameraError, EngineError
from edge.ids import uuid7
from edge.messages import (
    BundleReference,
    Defect,
    FrameSize,
    Health,
    MqttHealth,
    OutboxHealth,
    State,
    Status,
    Topics,
    Verdict,
    utc_now,
)
from edge.mqtt.publisher import Publisher
from edge.outbox import Outbox, Outgoing
from edge.settings import Settings, StationSettings
from edge.station.commands import StationCommands
from edge.station.gate import Gate
from edge.station.ring import FrameRing, Waiting
from edge.station.state import StationState
from edge.station.statistics import Statistics
from edge.station.threshold_record import ThresholdRecord

REOPEN_AFTER_S = 1.0
OVERLOAD = "the trigger waits: parts come faster than the engine inspects them"
DISK = "the outbox's disk takes nothing: verdicts are kept in memory; make room on it or replace it"
LASTING = (OVERLOAD, DISK)


class Station:
    """Takes frames from its camera, has them inspected, and puts what was decided into the outbox.

    The camera runs in a thread of its own from `start`; `inspect_next` is called by the engine thread.

    Args:
        settings: The whole configuration.
        station: This station's part of it.
        bundle: Its opened bundle.
        outbox: Shared by all stations.
        ready: Set whenever a frame waits.
        boot_id: Of the box.
        record: Of the thresholds that commands have set.

    Raises:
        OutboxError: The record of thresholds cannot be read.
        EngineError: No engine that reproduces the golden frames can be built.
    """

    def __init__(
        self,
        settings: Settings,
        station: StationSettings,
        bundle: Bundle,
        outbox: Outbox,
        ready: threading.Event,
        boot_id: str,
        record: ThresholdRecord,
    ) -> None:
        self.name = station.name
        self._station, self._outbox, self._boot_id = station, outbox, boot_id
        self._topics = Topics(settings.site, settings.line, station.name)
        self._bundle = BundleReference(name=bundle.manifest.name, digest=bundle.digest)
        self._ring = FrameRing(station.queue, station.policy, ready)
        self._ready = ready
        self._statistics = Statistics()
        self._stopping = threading.Event()
        self.ended = threading.Event()
        """Set when the camera gives no more frames."""
        self._gate = Gate(triggered=station.trigger == "command", waiting=station.queue)
        self._state = StationState(self.name, lambda *state: self._publisher.set_status(self._status(*state)))
        self._commands = StationCommands(settings.commands, station, boot_id, self._gate, self._state, outbox, record)
        self._live = False
        self._waits_said = 0
        self._started = time.monotonic()
        starting = self._status("starting")
        self._publisher = Publisher(self._topics, outbox, settings.mqtt, starting, self._commands.receive)
        try:
            self._engine: Engine = open_checked_engine(bundle, station.precision, threads=settings.engine.threads)
            self._decider = Decider(bundle, self._engine.precision, station.mm_per_px)
            self._commands.open(self._decider, bundle.digest, self._publisher)
        except BaseException:
            self._publisher.close()
            raise
        self._thread = threading.Thread(target=self._watch, name=f"camera-{self.name}", daemon=True)

    def start(self) -> None:
        """Opens the camera and says `online`."""
        if self._outbox.recovered_from is not None:
            self._state.degrade(f"the outbox was damaged and set aside as {self._outbox.recovered_from}")
        else:
            self._state.start()
        self._thread.start()

    def inspect_next(self) -> bool:
        """Inspects the oldest waiting frame, if there is one; returns whether there was."""
        waiting = self._ring.take()
        if waiting is None:
            return False
        try:
            self._inspect(waiting)
        except EngineError as error:
            self._statistics.count_failed()
            self._state.degrade(str(error))
        finally:
            self._ring.recycle(waiting.capture.frame)
        return True

    def stop(self) -> None:
        """Takes no more frames; those that wait can still be inspected."""
        self._stopping.set()
        self._gate.close()
        self._ring.close()

    def close(self, timeout: float) -> None:
        """Publishes what can be published in time, says `offline`, and ends the threads."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        self.publish_health()
        self._publisher.close(timeout)

    def publish_health(self) -> None:
        """Publishes how the station is doing."""
        depth, dropped = self._outbox.depth(), self._outbox.dropped()
        health = Health(
            boot_id=self._boot_id,
            sequence=self._outbox.sequence(self.name),
            at=utc_now(),
            uptime_s=time.monotonic() - self._started,
            frames=self._statistics.frames(self._ring.dropped),
            fps=self._statistics.fps(),
            latency_ms=self._statistics.latency(),
            outbox=OutboxHealth(
                entries=depth.entries,
                bytes=depth.bytes,
                dropped_verdicts=dropped["verdict"],
                dropped_defects=dropped["defect"],
                problem=self._outbox.problem,
                set_aside=str(self._outbox.recovered_from) if self._outbox.recovered_from else None,
            ),
            mqtt=MqttHealth(connected=self._publisher.connected, reconnects=self._publisher.reconnects),
            commands=self._commands.counts(),
            engine=self._engine.name,
            precision=self._engine.precision,
            bundle=self._bundle,
            threshold=self._decider.threshold,
        )
        self._publisher.publish_health(health)
        self._say_alarms()

    def _say_alarms(self) -> None:
        """Degrades for what lasts, and recovers when it is over."""
        waits, self._waits_said = self._ring.waits - self._waits_said, self._ring.waits
        if self._outbox.problem is not None:
            self._state.degrade(DISK)
        elif waits and self._live:
            self._state.degrade(OVERLOAD)
        elif self._state.problem in LASTING:
            self._state.recover()

    @property
    def inspected(self) -> int:
        """Parts inspected since the start."""
        return self._statistics.inspected

    def _inspect(self, waiting: Waiting) -> None:
        capture = waiting.capture
        anomaly = self._engine.infer(capture.frame)
        decision = self._decider.decide(anomaly)
        latency_ms = (time.monotonic() - waiting.since) * 1000
        self._outbox.put(self.name, lambda sequence: self._messages(sequence, capture, decision, latency_ms))
        self._statistics.count(decision.ok, latency_ms)
        if self._state.problem not in (None, *LASTING):
            self._state.recover()

    def _messages(self, sequence: int, capture: Capture, decision: Decision, latency_ms: float) -> list[Outgoing]:
        verdict = Verdict(
            boot_id=self._boot_id,
            id=uuid7(),
            sequence=sequence,
            part_id=capture.part_id,
            captured_at=capture.captured_at,
            decided_at=utc_now(),
            ok=decision.ok,
            score=decision.score,
            threshold=decision.threshold,
            bundle=self._bundle,
            precision=self._engine.precision,
            engine=self._engine.name,
            latency_ms=round(latency_ms, 3),
            frame=FrameSize(width=capture.frame.shape[1], height=capture.frame.shape[0]),
        )
        messages = [Outgoing(self._topics.verdict, verdict.to_json(), "verdict")]
        if not decision.ok:
            defect = Defect.of(verdict, decision.regions)
            messages.append(Outgoing(self._topics.defect, defect.to_json(), "defect"))
        return messages

    def _watch(self) -> None:
        """The camera thread: reads until told to stop or the source ends; a lost camera is opened again."""
        while not self._stopping.is_set():
            try:
                camera = open_camera(self._station.camera)
            except CameraError as error:
                self._state.degrade(str(error))
                self._forget(str(error))
                self._stopping.wait(REOPEN_AFTER_S)
                continue
            try:
                if self._read_all(camera):
                    break
            finally:
                camera.close()
        self._gate.close()
        self._forget("the camera gives no more frames")
        self.ended.set()
        self._ready.set()

    def _read_all(self, camera: Camera) -> bool:
        """Reads until the end (true) or until the camera fails twice in a row (false)."""
        failed = False
        self._live = camera.live
        while (turn := self._gate.wait()) is not None:
            try:
                capture = camera.read(self._ring.spare())
            except CameraError as error:
                self._statistics.count_failed()
                self._state.degrade(str(error))
                self._commands.show(turn.pictures, None, str(error))
                if failed:
                    self._stopping.wait(REOPEN_AFTER_S)
                    return False
                failed = True
                continue
            failed = False
            if capture is None:
                self._commands.show(turn.pictures, None, "the camera gives no more frames")
                return True
            if turn.pictures:
                self._commands.show(turn.pictures, capture.frame)
            if not turn.inspect:
                continue
            if turn.part_id is not None:
                capture = replace(capture, part_id=turn.part_id)
            if not self._ring.offer(capture):
                return True
        return True

    def _forget(self, reason: str) -> None:
        """Drops the triggers and snapshots that wait for a camera that is lost."""
        triggers, pictures = self._gate.forget()
        for _ in range(triggers):
            self._statistics.count_failed()
        self._commands.show(pictures, None, reason)

    def _status(self, state: State, reason: str | None = None) -> Status:
        reason = reason[:1024] if reason else None
        sequence = self._outbox.sequence(self.name)
        return Status(
            boot_id=self._boot_id, sequence=sequence, state=state, at=utc_now(), reason=reason, version=__version__
        )
