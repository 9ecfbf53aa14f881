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
    RecipeHealth,
)
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.health.report import StationReport
from edge_inspect.edge.health.stage import Stage, StageName
from edge_inspect.edge.mqtt.pictures import PicturePublisher
from edge_inspect.edge.sinks.sink import Sink
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.recipes import StationRecipes
from edge_inspect.edge.station.ring import FrameRing
from edge_inspect.edge.station.shadows import StationShadows
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
        recipes: Recipes of the station; their bundles compare pictures and scores with their calibrations.
        shadows: Shadows of the station.
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
        recipes: StationRecipes,
        shadows: StationShadows,
        pictures: PicturePublisher | None,
        state: StationState,
        commands: Callable[[], CommandCounts],
        started: float,
    ) -> None:
        self._topics, self._box, self._sink = topics, box, sink
        self._stages, self._ring, self._statistics = stages, ring, statistics
        self._recipes, self._shadows, self._state, self._commands = recipes, shadows, state, commands
        self._pictures = pictures
        self._started = started
        self._told = self._news()
        self.published: Health | None = None

    @property
    def has_news(self) -> bool:
        """Whether a warning about rejects, scores or pictures began or ended after the last published health.

        The same holds for a change-over to another recipe.
        """
        return self._news() != self._told

    def publish(self) -> list[str]:
        """Publish the current health; return its warnings as sentences, the most important one first."""
        watches = self._recipes.watched()
        self._told = self._news()
        said = {warning: watch for watch in reversed(watches) for warning in watch.warnings()}
        self.published = self._collect(list(dict.fromkeys(each for watch in watches for each in watch.warnings())))
        self._sink.publish_health(self.published)
        return [said.get(warning, watches[0]).sentence(warning) for warning in self.published.warnings]

    def _news(self) -> tuple[RecipeHealth | None, set[HealthWarning]]:
        return self._recipes.health(), {change for watch in self._recipes.watched() for change in watch.changes()}

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
        active, bundles = self._recipes.in_force
        loaded = bundles.current
        changed = next((watch for watch in self._recipes.watched() if watch.changes()), loaded.watch)
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
            "recipe": self._recipes.health(),
            "threshold": loaded.decider.threshold,
            "stages": {name: stage.health() for name, stage in self._stages.items()},
            "picture": loaded.watch.picture(),
            "drift": loaded.watch.drift(),
            "rejects": loaded.watch.rejects(),
            "shadow": self._shadows.of(active).health(),
            "pictures": None if self._pictures is None else self._pictures.health(),
            "cause": changed.cause(),
            "remedy": changed.remedy(),
        }
