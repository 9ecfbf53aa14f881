"""Tables and picture of runtime.py, from its turns.

Percentiles are of the frames of all rounds. Every other figure is the median of the rounds. A ratio has `_low` and
`_high`, the interval of its median (rounds.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from rounds import Median, median, ratios
from table import RESULTS, Row, write

from edge_inspect.train.charts import Axis

TABLE, STATIONS = RESULTS / "runtime.csv", RESULTS / "runtime_stations.csv"
PICTURE = Path(__file__).parents[2] / "docs" / "runtime.svg"
PEER = "anomalib"
Turn = dict[str, Any]
Turns = Sequence[Turn]

SYSTEMS = {
    "anomalib": "#d1495b",
    "edge fp32": "#e09f3e",
    "edge bf16": "#2e8b57",
    "edge int8": "#0b62a4",
    "default": "#7b4fa3",
    "bare int8": "#7fb3d8",
}
"""Lines of the picture and their colours."""
PANELS = {
    "p50 of a frame, ms": "p50_ms",
    "frames a second, best of 1, 2, 4 in flight": "fps",
    "start to first verdict, s": "first_s",
    "peak memory, MB": "peak_mb",
}
"""Panels of the picture and their columns."""
WIDE = 10
"""Range, as a ratio, above which an axis is logarithmic."""
WIDTH, HEIGHT, GAP, TOP, LINE = 330, 220, 64, 40, 17
STYLE = "text{font:12px sans-serif;fill:#222} .grid{stroke:#ddd} polyline{fill:none;stroke-width:2}"


def report(measured: dict[str, Any]) -> None:
    """Writes both tables and the picture, and prints the tables as Markdown."""
    turns, about = measured["turns"], measured["about"]
    rows = [{**row, **about} for row in system_rows(turns)]
    services = [{**row, **about} for row in station_rows(turns)]
    if rows:
        write(TABLE, rows)
        PICTURE.write_text(draw(rows) + "\n")
    if services:
        write(STATIONS, services)
    for table, columns in ((rows, SHOWN), (services, SHOWN_STATIONS)):
        print("|", " | ".join(columns), "|")
        print("|---" * len(columns) + "|")
        for row in table:
            print("|", " | ".join(show(row) for show in columns.values()), "|")
        print()


def cell(name: str) -> Callable[[Row], str]:
    """Show a column; with its interval where it has one."""

    def show(row: Row) -> str:
        value = row.get(name, "")
        if f"{name}_low" not in row:
            return str(value)
        return f"{value} ({row[f'{name}_low']} to {row[f'{name}_high']})"

    return show


OF_PROCESS = {
    "times anomalib's best": cell("fps_ratio"),
    "processor s for 1,000": cell("cpu_s_per_1000"),
    "peak, MB": cell("peak_mb"),
    "of anomalib's": cell("peak_mb_ratio"),
    "first verdict, s": cell("first_s"),
    "of anomalib's ": cell("first_s_ratio"),
}
SHOWN = {
    "input": cell("size"),
    "system": cell("system"),
    "p50, ms": cell("p50_ms"),
    "p95": cell("p95_ms"),
    "p99": cell("p99_ms"),
    "p50 of anomalib's": cell("p50_ratio"),
    "over the floor, ms": cell("over_floor_ms"),
    "frames/s, 1 in flight": cell("fps_1"),
    "2": cell("fps_2"),
    "4": cell("fps_4"),
    **OF_PROCESS,
}
SHOWN_STATIONS = {
    "stations": cell("stations"),
    "precision": cell("precision"),
    "verdicts/s": cell("fps"),
    "of the floor's best": cell("of_floor"),
    **OF_PROCESS,
    "paced, MB": cell("paced_mb"),
}


def system_rows(turns: Turns) -> list[Row]:
    """The rows of runtime.csv."""
    pairs = dict.fromkeys((turn["size"], turn["system"]) for turn in turns if turn["system"] != "service")
    return [system_row(turns, size, system) for size, system in pairs]


def system_row(turns: Turns, size: int, system: str) -> Row:
    """The row of a system at an input size; a column is missing where it was not measured."""
    row: Row = {"size": size, "system": system, "rounds": 1 + max(turn["round"] for turn in turns)}
    ours, theirs = by_round(turns, size, system), by_round(turns, size, PEER)
    if taken := list(of_task(turns, size, system, "latency")):
        every = np.concatenate([turn["ms"] for turn in taken])
        row["frames"] = len(every)
        for percent in (50, 95, 99):
            row[f"p{percent}_ms"] = rounded(float(np.percentile(every, percent)))
    floor = by_round(turns, size, system.replace("edge ", "bare ") if "edge " in system else f"bare {system}")
    if "p50" in floor and "p50" in ours and not system.startswith("bare"):
        over = [one - other for one, other in zip(ours["p50"], floor["p50"], strict=True)]
        row |= with_interval("over_floor_ms", median(over))
        row |= with_interval("over_floor", ratios(ours["p50"], floor["p50"]))
    for name in ("fps", "fps_1", "fps_2", "fps_4", "cpu_s_per_1000", "peak_mb", "first_s"):
        if name in ours:
            row[name] = rounded(median(ours[name]).value)
    if system != PEER:
        named = {"p50": "p50_ratio", "fps": "fps_ratio", "cpu_s_per_1000": "cpu_ratio"}
        named |= {name: f"{name}_ratio" for name in ("peak_mb", "first_s")}
        for name, column in named.items():
            if name in ours and name in theirs:
                row |= with_interval(column, ratios(ours[name], theirs[name]))
    return row


def by_round(turns: Turns, size: int, system: str) -> dict[str, list[float]]:
    """What a system took in each round: `p50`, `fps_1` and so on, `fps` (the best), and what its start took."""
    found: dict[str, list[float]] = {}
    for turn in of_task(turns, size, system, "latency"):
        found.setdefault("p50", []).append(float(np.median(turn["ms"])))
        found.setdefault("cpu_s_per_1000", []).append(1000 * turn["cpu_s"] / len(turn["ms"]))
    for turn in of_task(turns, size, system, "throughput"):
        found.setdefault(f"fps_{turn['in_flight']}", []).append(turn["fps"])
    if kinds := [values for name, values in found.items() if name.startswith("fps_")]:
        found["fps"] = [max(each) for each in zip(*kinds, strict=True)]
    for turn in of_task(turns, size, system, "start"):
        for name in ("peak_mb", "first_s"):
            found.setdefault(name, []).append(turn[name])
    return found


def station_rows(turns: Turns) -> list[Row]:
    """The rows of runtime_stations.csv."""
    rows: list[Row] = []
    for count in dict.fromkeys(turn["stations"] for turn in turns if turn["task"] == "stations"):
        taken = [turn for turn in turns if turn["task"] == "stations" and turn["stations"] == count]
        size, precision = taken[0]["size"], taken[0]["precision"]
        names = ("fps", "cpu_s_per_1000", "peak_mb", "paced_mb", "first_s", "with_trial_s")
        ours = {name: [float(turn[name]) for turn in taken] for name in names}
        row: Row = {"stations": count, "size": size, "precision": precision, "rounds": len(taken)}
        row |= {name: rounded(median(values).value) for name, values in ours.items()}
        floors = [by_round(turns, size, f"{kind} {precision}").get("fps") for kind in ("bare", "streams")]
        if all(floors):
            best = [max(each) for each in zip(*(floor or [] for floor in floors), strict=True)]
            row |= with_interval("of_floor", ratios(ours["fps"], best))
        theirs = by_round(turns, size, PEER)
        for name in names:
            if name in theirs:
                row |= with_interval(f"{name}_ratio", ratios(ours[name], theirs[name]))
        rows.append(row)
    return rows


def of_task(turns: Turns, size: int, system: str, task: str) -> Iterable[Turn]:
    return (turn for turn in turns if (turn["size"], turn["system"], turn["task"]) == (size, system, task))


def with_interval(name: str, found: Median) -> Row:
    return {name: rounded(found.value), f"{name}_low": rounded(found.low), f"{name}_high": rounded(found.high)}


def rounded(value: float) -> float:
    """Three digits, or all before the point."""
    return float(f"{value:.3g}") if abs(value) < 100 else round(value)


def draw(rows: Sequence[Row]) -> str:
    """The picture as SVG: four quantities over the input size, a line a system."""
    names = [name for name in SYSTEMS if any(row["system"] == name for row in rows)]
    width, height = 2 * (GAP + WIDTH) + GAP, 2 * (TOP + HEIGHT + GAP) + LINE * len(names)
    parts = []
    for i, (title, column) in enumerate(PANELS.items()):
        lines = {name: points(rows, name, column) for name in names}
        parts.append(panel(title, lines, GAP + i % 2 * (WIDTH + GAP), TOP + i // 2 * (TOP + HEIGHT + GAP)))
    for i, name in enumerate(names):
        at = 2 * (TOP + HEIGHT + GAP) + LINE * i
        colour = f'stroke="{SYSTEMS[name]}" stroke-width="3"'
        parts.append(f'<line x1="{GAP}" x2="{GAP + 20}" y1="{at - 4}" y2="{at - 4}" {colour}/>')
        parts.append(f'<text x="{GAP + 28}" y="{at}">{escape(name)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>'
    )


def points(rows: Sequence[Row], system: str, column: str) -> list[tuple[float, float]]:
    """A system's values over the input size, smallest first."""
    found = [(row["size"], row[column]) for row in rows if row["system"] == system and column in row]
    return sorted((float(str(size)), float(str(value))) for size, value in found)


def panel(title: str, lines: Mapping[str, Sequence[tuple[float, float]]], left: int, top: int) -> str:
    """One quantity: axes, and a line for each system; the input size is logarithmic."""
    every = [point for line in lines.values() for point in line]
    if not every:
        return ""
    sizes = sorted({size for size, _ in every})
    x = Axis("input, pixels", sizes[0] / 1.05, sizes[-1] * 1.05, log=True)
    low, high = min(value for _, value in every), max(value for _, value in every)
    log = high > WIDE * low  # otherwise a logarithmic axis has hardly a round value
    y = Axis(title, low / 1.2 if log else 0.0, high * 1.2, log=log)

    def place(size: float, value: float) -> tuple[float, float]:
        return round(left + x.place(size) * WIDTH, 1), round(top + (1 - y.place(value)) * HEIGHT, 1)

    parts = [f'<text x="{left}" y="{top - 12}" font-weight="bold">{escape(title)}</text>']
    for size in sizes:
        at, _ = place(size, y.low)
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{top}" y2="{top + HEIGHT}"/>')
        parts.append(f'<text x="{at}" y="{top + HEIGHT + 16}" text-anchor="middle">{size:g}</text>')
    for value in y.ticks():
        _, at = place(x.low, value)
        parts.append(f'<line class="grid" x1="{left}" x2="{left + WIDTH}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4}" text-anchor="end">{value:g}</text>')
    parts.append(f'<text x="{left + WIDTH / 2}" y="{top + HEIGHT + 34}" text-anchor="middle">{x.label}</text>')
    for name, line in ((name, line) for name, line in lines.items() if line):
        path = " ".join("{},{}".format(*place(*point)) for point in line)
        parts.append(f'<polyline points="{path}" stroke="{SYSTEMS[name]}"><title>{escape(name)}</title></polyline>')
        dots = (place(*point) for point in line)  # a single size has no line
        parts += [f'<circle cx="{across}" cy="{down}" r="3" fill="{SYSTEMS[name]}"/>' for across, down in dots]
    return "".join(parts)
