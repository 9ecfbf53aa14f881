"""One station of the fleet as a row: its bundle, its rejects, its drift and its health, from status and health.

`edge-inspect fleet list` prints these rows, and the page shows them.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from edge_inspect.edge.contract.health import Health, RejectHealth
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.health.control_limits import control_limits

SILENT_AFTER_S = 60.0
"""Seconds after which a station that has published no health is called silent; by default it does every 10 s."""
_WINDOW = 199
"""Number of parts whose plain average varies as much as the health's moving average with weight 0.01."""


class Rejects(TypedDict):
    """The share of rejected parts among about the last 200, and its control limits, each 0 to 1."""

    share: float
    usual: float
    low: float
    high: float
    above: bool


class Drift(TypedDict):
    """The shift of the scores since the calibration, in standard deviations, and its limit."""

    shift: float
    limit: float
    beyond: bool


class StationRow(TypedDict):
    """A station of the fleet; `None` stands for what is unknown."""

    key: str
    site: str
    line: str
    station: str
    state: str | None
    reason: str | None
    silent_s: float | None
    version: str | None
    bundle: str | None
    digest: str | None
    precision: str | None
    threshold: float | None
    rejects: Rejects | None
    drift: Drift | None
    shadow: bool
    alarms: list[str]
    good: bool


def station_row(key: str, status: Status | None, health: Health | None, now: datetime | None = None) -> StationRow:
    """Return the row of a station.

    Args:
        key: The station, as site/line/station.
        status: Its last status; `None` if none has come.
        health: Its last health; `None` if none has come.
        now: The present time, by which a station is called silent; `None`: somebody else decides that.
    """
    site, line, station = key.split("/")
    alarms = alarms_of(status, health)
    silent_s = None if now is None else _silent_s(status, health, now)
    return {
        "key": key,
        "site": site,
        "line": line,
        "station": station,
        "state": status.state if status else None,
        "reason": status.reason if status else None,
        "silent_s": silent_s,
        "version": status.version if status else None,
        "bundle": health.bundle.name if health else None,
        "digest": health.bundle.digest if health else None,
        "precision": health.precision if health else None,
        "threshold": health.threshold if health else None,
        "rejects": _rejects(health.rejects, health.frames.inspected) if health and health.rejects else None,
        "drift": _drift(health),
        "shadow": bool(health and health.shadow),
        "alarms": alarms,
        "good": not alarms and silent_s is None and status is not None and status.state == "online",
    }


def alarms_of(status: Status | None, health: Health | None) -> list[str]:
    """Return what is wrong with a station, in a few words each; the warnings by the words of the contract."""
    if status is None or status.state == "offline" or health is None:
        return []
    stages = [f"{name} {stage.state}" for name, stage in health.stages.items() if stage.state in ("failed", "stuck")]
    problems = {"outbox": health.outbox.problem, "evidence": health.evidence and health.evidence.problem}
    return [*stages, *health.warnings, *(f"{name} problem" for name, problem in problems.items() if problem)]


def _rejects(rejects: RejectHealth, inspected: int) -> Rejects | None:
    limits = control_limits(rejects.usual, min(inspected, _WINDOW))
    if limits is None:
        return None
    above = rejects.share > limits.high
    return {"share": rejects.share, "usual": rejects.usual, "low": limits.low, "high": limits.high, "above": above}


def _drift(health: Health | None) -> Drift | None:
    if health is None or health.drift is None:
        return None
    shift, limit = health.drift.shift, health.drift.limit
    return {"shift": shift, "limit": limit, "beyond": abs(shift) > limit}


def _silent_s(status: Status | None, health: Health | None, now: datetime) -> float | None:
    """Return for how long a station that should be there has been silent, in seconds; `None` if it has not."""
    if status is None or status.state == "offline":
        return None
    heard_at = max(message.at for message in (status, health) if message is not None)
    seconds = (now - heard_at).total_seconds()
    return seconds if seconds > SILENT_AFTER_S else None
