"""The health of a station, which it publishes every ten seconds and reports to `/healthz` and `/metrics`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.health import (
    ClockHealth,
    CommandCounts,
    Health,
    HealthWarning,
    MqttHealth,
    OutboxHealth,
)
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.health.report import StationReport
from edge_inspect.edge.health.stage import Stage, StageName
from edge_inspect.edge.mqtt.pictures import PicturePublisher
from edge_inspect.edge.sinks.sink import Sink
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.bundles import StationBundles
from edge_inspect.edge.station.ring import FrameRing
from edge_inspect.edge.station.shadow import Shadow
from edge_inspect.edge.station.state import StationState
from edge_inspect.edge.station.statistics import Statistics


class StationHealth:
    """Collects the health of one station and publishes it. Any thread may call its methods.

    Args:
        topics: Site, line and name of the station.
        box: The objects that all stations share.
        sink: Sink that publishes the health.
        stages: Stages of the station, by name.
        ring: Ring in which frames wait.
        statistics: Counts and latencies of parts.
        bundles: Bundles of the station; the one in force compares pictures and scores with its calibration.
        shadow: Shadow of the station.
        pictures: Publishes pictures of parts; `None` if none are published.
        state: State of the station, for the report.
        commands: Returns the counts of the station's commands.
        started: Time at which the station was started, in seconds of `time.monotonic`.

    Attributes:
        published: The health that was published last; `None` before the first time.
    """

    def __init__(
        self,
        topics: Topics,
        box: BoxResources,
        sink: Sink,
        *,
        stages: Mapping[StageName, Stage],
        ring: FrameRing,
        statistics: Statistics,
        bundles: StationBundles,
        shadow: Shadow,
        pictures: PicturePublisher | None,
        state: StationState,
        commands: Callable[[], CommandCounts],
        started: float,
    ) -> None:
        self._topics, self._box, self._sink = topics, box, sink
        self._stages, self._ring, self._statistics = stages, ring, statistics
        self._bundles, self._shadow, self._state, self._commands = bundles, shadow, state, commands
        self._pictures = pictures
        self._started = started
        self._changes: list[HealthWarning] = []
        self.published: Health | None = None

    @property
    def has_news(self) -> bool:
        """Whether a warning about rejects, scores or pictures began or ended after the last published health."""
        return self._bundles.current.watch.changes() != self._changes

    def publish(self) -> list[str]:
        """Publish the current health; return its warnings as sentences, the most important one first."""
        watch = self._bundles.current.watch
        self._changes = watch.changes()
        self.published = self._collect(watch.warnings())
        self._sink.publish_health(self.published)
        return [watch.sentence(warning) for warning in self.published.warnings]

    def report(self) -> StationReport:
        """Return the report for `/healthz` and `/metrics`: current figures of the station, last ones of the box.

        This reads nothing from a disk, so that it works while a disk hangs.
        """
        state, reason = self._state.now
        health = None if self.published is None else self.published.model_copy(update=self._figures())
        return StationReport(self._topics, state, reason, self._statistics.histogram(), health)

    def _collect(self, warnings: list[HealthWarning]) -> Health:
        box, station = self._box, self._topics.station
        depth, dropped = box.outbox.depth(), box.outbox.dropped()
        machine = box.machine.look()
        return Health(
            boot_id=box.boot_id,
            sequence=box.outbox.sequence(station),
            at=utc_now(),
            outbox=OutboxHealth(
                entries=depth.entries,
                bytes=depth.bytes,
                dropped_verdicts=dropped["verdict"],
                dropped_defects=dropped["defect"],
                problem=box.outbox.problem,
                set_aside=str(box.outbox.recovered_from) if box.outbox.recovered_from else None,
            ),
            warnings=(*warnings, *machine.warnings),
            disk_free_bytes=machine.free_bytes,
            throttled=machine.throttled,
            temperature_c=machine.temperature_c,
            evidence=box.evidence.health(station) if box.evidence else None,
            clock=ClockHealth(steps=box.clock.steps, last_step_s=box.clock.last_step_s),
            **self._figures(),
        )

    def _figures(self) -> dict[str, Any]:
        """Return the fields of the health that are in memory."""
        loaded = self._bundles.current
        return {
            "uptime_s": time.monotonic() - self._started,
            "frames": self._statistics.frames(self._ring.dropped),
            "fps": self._statistics.fps(),
            "latency_ms": self._statistics.latency(),
            "mqtt": MqttHealth(
                connected=self._sink.connected,
                reconnects=self._sink.reconnects,
                set_aside=self._sink.set_aside,
            ),
            "commands": self._commands(),
            "engine": loaded.engine.name,
            "precision": loaded.engine.precision,
            "precision_reason": loaded.why or None,
            "bundle": loaded.reference,
            "threshold": loaded.decider.threshold,
            "stages": {name: stage.health() for name, stage in self._stages.items()},
            "picture": loaded.watch.picture(),
            "drift": loaded.watch.drift(),
            "rejects": loaded.watch.rejects(),
            "shadow": self._shadow.health(),
            "pictures": None if self._pictures is None else self._pictures.health(),
            "cause": loaded.watch.cause(),
            "remedy": loaded.watch.remedy(),
        }
