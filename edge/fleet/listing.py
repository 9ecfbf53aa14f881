"""`edge-inspect fleet list`: collects what the broker keeps of the stations."""

from __future__ import annotations

import time

from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
from edge_inspect.edge.errors import CheckFailed
from edge_inspect.edge.fleet.connection import FleetConnection
from edge_inspect.edge.fleet.known_stations import KnownStations
from edge_inspect.edge.fleet.selector import Selectors
from edge_inspect.edge.fleet.station_row import StationRow

_QUIET_S = 0.5
"""A broker sends what it keeps at once; when nothing more has come for so long, that was all."""


def list_stations(settings: MqttSettings, selectors: Selectors, wait_s: float) -> list[StationRow]:
    """Return a row for each station that the broker knows, and for each that a selector names.

    Args:
        settings: Settings of the connection.
        selectors: The stations.
        wait_s: Longest time to wait for the first message, in seconds.

    Raises:
        CheckFailed: The broker cannot be reached, or no station was heard.
    """
    stations = KnownStations(selectors)
    connection = FleetConnection(settings, selectors.topics(("status", "health")))
    started = time.monotonic()

    def step() -> bool:
        connection.check(started)
        return connection.connected and _is_complete(stations, connection.connected_at, wait_s)

    connection.run(stations.read, step)
    rows = stations.rows()
    if not any(row["state"] for row in rows):
        raise CheckFailed(
            f"{connection.where}: no station {selectors} was heard within {wait_s:g} s: check the names, that the "
            "stations use this broker, and that it lets this user read their topics status and health"
        )
    return rows


def _is_complete(stations: KnownStations, connected_at: float, wait_s: float) -> bool:
    """Return whether all messages that the broker keeps have come."""
    now = time.monotonic()
    if now - connected_at > wait_s:
        return True
    return stations.retained_at >= 0 and now - max(stations.retained_at, connected_at) > _QUIET_S
