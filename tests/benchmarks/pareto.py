"""The picture docs/pareto.svg: time a frame against recall at 1 % false rejects, a panel a data set.

    python tests/benchmarks/pareto.py

A point is the mean over seeds of the rows of results/accuracy.csv that have the same options and a time, and of each
peer in results/peer.csv (the faster of its inferencers). A line joins the points that no other beats in both.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from html import escape
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from accuracy import TABLE as OURS
from peer_patchcore import TABLE as PEERS

from edge_inspect.train.charts import Axis

PICTURE = Path(__file__).parents[2] / "docs" / "pareto.svg"
WIDTH, HEIGHT, GAP = 330, 260, 56
TOP, LINE = 40, 17
COLOURS = ("#0b62a4", "#d1495b", "#2e8b57", "#e09f3e", "#7b4fa3", "#4a4e69", "#00a6a6", "#a35b1f", "#c71585", "#808000")
STYLE = "text{font:12px sans-serif;fill:#222} .grid{stroke:#ddd} .front{fill:none;stroke:#888;stroke-dasharray:4 3}"


class Point(NamedTuple):
    """One system on one data set."""

    system: str
    milliseconds: float
    recall: float


def main() -> None:
    """Draws the picture."""
    panels = read_points()
    names = sorted({point.system for points in panels.values() for point in points})
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    PICTURE.write_text(draw(panels, colours) + "\n")
    print(PICTURE)


def read_points() -> dict[str, list[Point]]:
    """The points of each data set."""
    groups: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in rows(OURS):
        if not row["frame_ms"]:  # the machine was busy
            continue
        groups[row["data"], row["options"] or "default"].append((float(row["frame_ms"]), float(row["recall_at_1"])))
    for row in rows(PEERS):
        fastest = min(float(row["torch_ms"]), float(row["openvino_ms"]))
        groups[row["data"], row["system"]].append((fastest, float(row["recall_at_1"])))
    panels: dict[str, list[Point]] = defaultdict(list)
    for (data, system), found in sorted(groups.items()):
        panels[data].append(Point(system, mean(ms for ms, _ in found), mean(recall for _, recall in found)))
    return panels


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table; none where it does not exist yet."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def front(points: list[Point]) -> list[Point]:
    """The points that no faster one equals in recall, fastest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.milliseconds, -p.recall)):
        if not best or point.recall > best[-1].recall:
            best.append(point)
    return best


def draw(panels: dict[str, list[Point]], colours: dict[str, str]) -> str:
    """The whole picture as SVG: panels side by side, the names of the systems below."""
    every = [point.milliseconds for points in panels.values() for point in points]
    x = Axis("milliseconds a frame", min(every) / 1.4, max(every) * 1.4, log=True)
    y = Axis("recall at 1 % false rejects", 0, 1)
    width, height = GAP + len(panels) * (WIDTH + GAP), TOP + HEIGHT + GAP + LINE * len(colours)
    parts = [panel(data, points, x, y, i, colours) for i, (data, points) in enumerate(panels.items())]
    for i, (name, colour) in enumerate(colours.items()):
        at = TOP + HEIGHT + GAP + LINE * i
        parts.append(f'<circle cx="{GAP + 5}" cy="{at - 4}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{GAP + 16}" y="{at}">{escape(name)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>'
    )


def panel(data: str, points: list[Point], x: Axis, y: Axis, number: int, colours: dict[str, str]) -> str:
    """One data set's axes and points."""
    left = GAP + number * (WIDTH + GAP)

    def place(milliseconds: float, recall: float) -> tuple[float, float]:
        return round(left + x.place(milliseconds) * WIDTH, 1), round(TOP + (1 - y.place(recall)) * HEIGHT, 1)

    parts = [f'<text x="{left}" y="{TOP - 14}" font-weight="bold">{escape(data)}</text>']
    for value in x.ticks():
        at, _ = place(value, 0)
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{TOP + HEIGHT}"/>')
        parts.append(f'<text x="{at}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{value:g}</text>')
    for value in y.ticks():
        _, at = place(x.low, value)
        parts.append(f'<line class="grid" x1="{left}" x2="{left + WIDTH}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4}" text-anchor="end">{value:g}</text>')
    middle = left + WIDTH / 2
    parts.append(f'<text x="{middle}" y="{TOP + HEIGHT + 34}" text-anchor="middle">{x.label}</text>')
    if number == 0:
        half = TOP + HEIGHT / 2
        turned = f'transform="rotate(-90 14 {half})" text-anchor="middle"'
        parts.append(f'<text x="14" y="{half}" {turned}>{y.label}</text>')
    line = " ".join(f"{a},{b}" for a, b in (place(point.milliseconds, point.recall) for point in front(points)))
    parts.append(f'<polyline class="front" points="{line}"/>')
    for point in points:
        a, b = place(point.milliseconds, point.recall)
        said = f"{point.system}: {point.milliseconds:.3g} ms, recall {point.recall:.2f}"
        parts.append(
            f'<circle cx="{a}" cy="{b}" r="5" fill="{colours[point.system]}"><title>{escape(said)}</title></circle>'
        )
    return "".join(parts)


if __name__ == "__main__":
    main()
