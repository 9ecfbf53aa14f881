"""The health of a station: what it publishes every ten seconds, and what `/healthz` and `/metrics` say of it."""

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
from edge_inspect.edge.sinks.sink import Sink
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.bundles import StationBundles
from edge_inspect.edge.station.ring import FrameRing
from edge_inspect.edge.station.shadow import Shadow
from edge_inspect.edge.station.state import StationState
from edge_inspect.edge.station.statistics import Statistics


class StationHealth:
    """Collects the health of one station from its parts, and publishes it. Its methods may be called from any thread.

    Args:
        topics: Site, line and name of the station.
        box: What the stations share.
        sink: Where health is published.
        stages: The station's stages, by their names.
        ring: Where frames wait.
        statistics: Counts of parts, and their latencies.
        bundles: The station's bundles; the one in force says how pictures and scores are.
        shadow: The station's shadow.
        state: The station's state, for the report.
        commands: Returns the counts of its commands.
        started: When the station was started, in seconds of `time.monotonic`.

    Attributes:
        published: The health that was published last; `None` before the first.
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
        state: StationState,
        commands: Callable[[], CommandCounts],
        started: float,
    ) -> None:
        self._topics, self._box, self._sink = topics, box, sink
        self._stages, self._ring, self._statistics = stages, ring, statistics
        self._bundles, self._shadow, self._state, self._commands = bundles, shadow, state, commands
        self._started = started
        self._changes: list[HealthWarning] = []
        self.published: Health | None = None

    @property
    def has_news(self) -> bool:
        """Whether a warning of rejects, scores or changed pictures has begun or ended since the last health."""
        return self._bundles.current.watch.changes() != self._changes

    def publish(self) -> list[str]:
        """Publish the health of now; return its warnings as sentences, in the order in which they are to be said."""
        watch = self._bundles.current.watch
        self._changes = watch.changes()
        self.published = self._collect(watch.warnings())
        self._sink.publish_health(self.published)
        return [watch.sentence(warning) for warning in self.published.warnings]

    def report(self) -> StationReport:
        """Return what `/healthz` and `/metrics` say: the station's state and figures now, the box's as published last.

        Asks nothing of a disk, so it answers while one hangs.
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
        """Return the fields of health that are in memory."""
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
            "bundle": loaded.reference,
            "threshold": loaded.decider.threshold,
            "stages": {name: stage.health() for name, stage in self._stages.items()},
            "picture": loaded.watch.picture(),
            "drift": loaded.watch.drift(),
            "rejects": loaded.watch.rejects(),
            "shadow": self._shadow.health(),
            "cause": loaded.watch.cause(),
            "remedy": loaded.watch.remedy(),
        }
