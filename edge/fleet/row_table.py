"""The rows of stations as lines of text, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from edge_inspect.edge.fleet.station_row import StationRow
from edge_inspect.edge.text import clean

DIGEST = 12
"""Number of characters of a digest that are shown."""
_HEADS = ("station", "state", "version", "bundle", "digest", "precision", "threshold", "rejects", "drift", "health")
_UNKNOWN = "–"


def table(rows: Iterable[StationRow]) -> list[str]:
    """Return a head, and one line a station."""
    return columns([_HEADS, *map(_cells, rows)])


def columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of cells as text, with the cells of a column below each other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def share(value: float) -> str:
    """Return a share as a percentage."""
    return f"{100 * value:.1f} %"


def _cells(row: StationRow) -> tuple[str, ...]:
    threshold = row["threshold"]
    return (
        clean(row["key"]),
        _state(row),
        clean(row["version"] or _UNKNOWN),
        clean(row["bundle"] or _UNKNOWN),
        clean((row["digest"] or _UNKNOWN)[:DIGEST]),
        row["precision"] or _UNKNOWN,
        f"{threshold:.4g}" if threshold is not None and math.isfinite(threshold) else _UNKNOWN,
        _rejects(row),
        _drift(row),
        _health(row),
    )


def _state(row: StationRow) -> str:
    if row["state"] is None:
        return "unknown"
    if row["silent_s"] is not None:
        return f"silent for {duration(row['silent_s'])}"
    return f"{row['state']} (shadow)" if row["shadow"] and row["state"] != "offline" else row["state"]


def duration(seconds: float) -> str:
    """Return a duration in its largest fitting unit."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _rejects(row: StationRow) -> str:
    found = row["rejects"]
    if found is None:
        return _UNKNOWN
    return f"{share(found['share'])} {'>' if found['above'] else '≤'} {share(found['high'])}"


def _drift(row: StationRow) -> str:
    found = row["drift"]
    if found is None:
        return _UNKNOWN
    return f"{found['shift']:+.2f} {'>' if found['beyond'] else '≤'} {found['limit']:.2f}"


def _health(row: StationRow) -> str:
    if row["state"] is None:
        return "never heard; check its name"
    if row["state"] == "offline" or (row["state"] != "online" and row["reason"] and not row["alarms"]):
        return clean(row["reason"] or "it was stopped")
    return clean(", ".join(row["alarms"])) or ("good" if row["good"] else _UNKNOWN)
