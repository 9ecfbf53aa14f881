"""The report of a station for `/healthz` and `/metrics`; its state is the same as in the MQTT status."""

from __future__ import annotations

from typing import NamedTuple

from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.messages import State
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.health.histogram import Buckets

WELL: tuple[State, ...] = ("online", "paused")
"""States in which nobody has to do anything; a pause is one, because somebody asked for it."""


class StationReport(NamedTuple):
    """The state and health of one station at one moment.

    Attributes:
        topics: Site, line and name of the station.
        state: State in the status.
        reason: Reason of the state; `None` if it needs none.
        latency: Histogram of the seconds from a frame to its verdict, for all parts since the start.
        health: Health of the station; `None` before the first was published.
    """

    topics: Topics
    state: State
    reason: str | None
    latency: Buckets
    health: Health | None

    @property
    def is_well(self) -> bool:
        """Whether the station inspects, or is paused by a command."""
        return self.state in WELL
