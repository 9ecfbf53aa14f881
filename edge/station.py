"""A station: one camera, one product, one place in the topic tree."""

from __future__ import annotations

import logging
import threading
import time

from edge import __version__
from edge.bundle import Bundle
from edge.cameras import Camera, Capture, open_camera
from edge.decision import Decider, Decision
from edge.engines import Engine, open_checked_engine
from edge.errors import CameraError, EngineError
from edge.images import Frame
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
    uuid7,
)
from edge.outbox import Outbox, Outgoing
from edge.publisher import Publisher
from edge.ring import FrameRing, Waiting
from edge.settings import Settings, StationSettings
from edge.statistics import Statistics

log = logging.getLogger(__name__)

REOPEN_AFTER_S = 1.0
OVERLOAD = "the trigger waits: parts come faster than the engine inspects them"


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

    Raises:
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
        self._problem: str | None = None
        self._live = False
        self._waits_said = 0
        self._started = time.monotonic()
        self._publisher = Publisher(self._topics, outbox, settings.mqtt, self._status("starting"))
        try:
            self._engine: Engine = open_checked_engine(bundle, station.precision, threads=settings.engine.threads)
        except BaseException:
            self._publisher.close()
            raise
        self._decider = Decider(bundle, self._engine.precision, station.mm_per_px)
        self._thread = threading.Thread(target=self._watch, name=f"camera-{self.name}", daemon=True)

    def start(self) -> None:
        """Opens the camera and says `online`."""
        self._publisher.set_status(self._status("online"))
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
            self._trouble(str(error))
        finally:
            self._ring.recycle(waiting.capture.frame)
        return True

    def stop(self) -> None:
        """Takes no more frames; those that wait can still be inspected."""
        self._stopping.set()
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
            ),
            mqtt=MqttHealth(connected=self._publisher.connected, reconnects=self._publisher.reconnects),
            engine=self._engine.name,
            precision=self._engine.precision,
            bundle=self._bundle,
        )
        self._publisher.publish_health(health)
        waits, self._waits_said = self._ring.waits - self._waits_said, self._ring.waits
        if waits and self._live:
            self._trouble(OVERLOAD)
        elif self._problem == OVERLOAD:
            self._recovered()

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
        if self._problem not in (None, OVERLOAD):
            self._recovered()

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
                self._trouble(str(error))
                self._stopping.wait(REOPEN_AFTER_S)
                continue
            try:
                if self._read_all(camera):
                    break
            finally:
                camera.close()
        self.ended.set()
        self._ready.set()

    def _read_all(self, camera: Camera) -> bool:
        """Reads until the end (true) or until the camera fails twice in a row (false)."""
        failed = False
        self._live = camera.live
        while not self._stopping.is_set():
            spare: Frame | None = self._ring.spare()
            try:
                capture = camera.read(spare)
            except CameraError as error:
                self._statistics.count_failed()
                self._trouble(str(error))
                if failed:
                    self._stopping.wait(REOPEN_AFTER_S)
                    return False
                failed = True
                continue
            failed = False
            if capture is None:
                return True
            if not self._ring.offer(capture):
                return True
        return True

    def _trouble(self, reason: str) -> None:
        """Says `degraded` with its reason, once a reason."""
        if reason != self._problem:
            log.warning("%s: %s", self.name, reason)
            self._problem = reason
            self._publisher.set_status(self._status("degraded", reason))

    def _recovered(self) -> None:
        log.info("%s: inspects again", self.name)
        self._problem = None
        self._publisher.set_status(self._status("online"))

    def _status(self, state: State, reason: str | None = None) -> Status:
        reason = reason[:1024] if reason else None
        return Status(boot_id=self._boot_id, state=state, at=utc_now(), reason=reason, version=__version__)
