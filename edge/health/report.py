"""What `/healthz` and `/metrics` tell of a station; its state is the one that the MQTT status says."""

from __future__ import annotations

from typing import NamedTuple

from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import State
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.health.histogram import Buckets

WELL: tuple[State, ...] = ("online", "paused")
"""States that need nobody: a pause is what somebody asked for."""


class StationReport(NamedTuple):
    """One station at one moment.

    Attributes:
        topics: Site, line and name of the station.
        state: As its status says.
        reason: Of the state; `None` where it needs none.
        latency: From the frame to the verdict in seconds, of all parts since the start.
        health: Its health; `None` before the first was published.
    """

    topics: Topics
    state: State
    reason: str | None
    latency: Buckets
    health: Health | None

    @property
    def is_well(self) -> bool:
        """Whether the station inspects, or was told not to."""
        return self.state in WELL
