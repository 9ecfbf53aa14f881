"""Charts as inline SVG, without scripts or files. Colours are classes of the page's style, and so follow its theme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 440, 290
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 34, 46
GLYPH = 7.7
"""Approximate width of a character of the legend."""


@dataclass(frozen=True)
class Axis:
    """An axis of a chart, linear or logarithmic (base 10).

    Attributes:
        label: Name of the quantity, with its unit.
        low: Value at the beginning; above 0 on a logarithmic axis.
        high: Value at the end.
        log: Whether the axis is logarithmic.
        whole: Whether only whole numbers are marked.
    """

    label: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def place(self, value: float) -> float:
        """Return the position of a value: 0 at `low`, 1 at `high`; one half if both are the same."""
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return 0.5 if high == low else (at - low) / (high - low)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round values on the axis (on a linear one at most `most`): 1, 2 or 5 times a power of ten."""
        if self.high == self.low:
            return [self.low]
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            factors = (1, 2, 5) if self.high < 300 * self.low else (1,)
            values = [factor * 10.0**decade for decade in decades for factor in factors]
            return [value for value in values if self.low <= value <= self.high]
        rough = (self.high - self.low) / (most - 1)
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
        step = max(step, 1.0) if self.whole else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [count * step for count in range(first, last + 1)]


def histogram(
    edges: Sequence[float], counts: Mapping[str, Sequence[int]], label: str, mark: tuple[float, str] | None = None
) -> str:
    """Draw the bars of several groups side by side in each bin.

    Args:
        edges: Borders of the bins, rising; there is one more than there are bins.
        counts: Counts of each bin by group; the group's name is also the class of its bars.
        label: Name of the quantity on the horizontal axis.
        mark: A value to mark with a line, and its name in the legend.
    """
    low, high = min(edges[0], mark[0] if mark else math.inf), max(edges[-1], mark[0] if mark else -math.inf)
    x = Axis(label, low, high)
    y = Axis("images", 0, max(1, *(max(group) for group in counts.values())), whole=True)
    bars = []
    for row, (name, group) in enumerate(counts.items()):
        for left, right, count in zip(edges[:-1], edges[1:], group, strict=True):
            if count:
                width = (_x(x, right) - _x(x, left)) * 0.86 / len(counts)
                at = _x(x, left) + (_x(x, right) - _x(x, left)) * 0.07 + row * width
                top = _y(y, count)
                bars.append(
                    f'<rect class="{escape(name)}" x="{at:.1f}" y="{top:.1f}" width="{width:.1f}" '
                    f'height="{HEIGHT - BOTTOM - top:.1f}"><title>{left:.4g} to {right:.4g}: {count} {escape(name)}'
                    "</title></rect>"
                )
    keys = [(name, f"{name} ({sum(group)})") for name, group in counts.items()]
    if mark:
        at = _x(x, mark[0])
        bars.append(f'<line class="mark" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}"/>')
        keys.append(("mark", mark[1]))
    said = ", ".join(text for _, text in keys)
    return _chart(x, y, "".join(bars), keys, f"Histogram over {label}: {said}")


def curve(
    points: Sequence[tuple[float, float]],
    x: Axis,
    y: Axis,
    name: str,
    mark: tuple[float, float, str] | None = None,
    diagonal: str | None = None,
    seen: Sequence[tuple[float, float]] = (),
) -> str:
    """Draw a line through points.

    Args:
        points: Points in the order of drawing.
        x: Horizontal axis.
        y: Vertical axis.
        name: Name of the line in the legend.
        mark: A point to mark, and its name in the legend.
        diagonal: Name of a dashed line from corner to corner; without a name, none is drawn.
        seen: Further points, drawn small and without a name.
    """
    keys = [("line", name)]
    body = ""
    if diagonal:
        body += f'<line class="diagonal" x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{WIDTH - RIGHT}" y2="{TOP}"/>'
        keys.append(("diagonal", diagonal))
    path = " ".join(f"{_x(x, a):.1f},{_y(y, b):.1f}" for a, b in points)
    body += f'<polyline class="line" points="{path}"/>'
    body += "".join(f'<circle class="good" cx="{_x(x, a):.1f}" cy="{_y(y, b):.1f}" r="2.5"/>' for a, b in seen)
    dots = [mark[:2]] if mark else points if len(points) == 1 else []
    body += "".join(f'<circle class="dot" cx="{_x(x, a):.1f}" cy="{_y(y, b):.1f}" r="4.5"/>' for a, b in dots)
    if mark:
        keys.append(("dot", mark[2]))
    said = ", ".join(text for _, text in keys)
    return _chart(x, y, body, keys, f"{y.label} over {x.label}: {said}")


def loss_curve(values: Sequence[float], every: int, steps: int) -> str:
    """Draw the mean losses over the steps of a training; the axis is logarithmic if the loss falls far.

    Args:
        values: Mean loss of every `every` steps so far; the last one of a finished training may cover fewer.
        every: Number of steps that each value covers.
        steps: Number of steps of the whole training.
    """
    low, high = min(values), max(values)
    log = low > 0 and high > 10 * low
    points = [(min(number * every, steps), value) for number, value in enumerate(values, start=1)]
    x = Axis("step", 0, steps, whole=True)
    y = Axis("loss", low if log else min(0, low), high, log)
    when = "at the end" if points[-1][0] == steps else "now"
    return curve(points, x, y, f"{values[-1]:.4g} {when}")


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)


def _chart(x: Axis, y: Axis, body: str, keys: Sequence[tuple[str, str]], description: str) -> str:
    """Draw axes, ticks, labels and legend around a drawing."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value in y.ticks():
        at = _y(y, value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}"/>')
        parts.append(f'<text class="end" x="{LEFT - 7}" y="{at + 4:.1f}">{value:.4g}</text>')
    for value in x.ticks():
        at = _x(x, value)
        parts.append(f'<line class="axis" x1="{at:.1f}" y1="{bottom}" x2="{at:.1f}" y2="{bottom + 4}"/>')
        parts.append(f'<text class="middle" x="{at:.1f}" y="{bottom + 17}">{value:.4g}</text>')
    parts.append(body)
    parts.append(f'<line class="axis" x1="{LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}"/>')
    parts.append(f'<text class="middle" x="{(LEFT + right) / 2}" y="{HEIGHT - 6}">{escape(x.label)}</text>')
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text class="middle" x="13" y="{middle}" transform="rotate(-90 13 {middle})">{escape(y.label)}</text>'
    )
    widths = [30 + GLYPH * len(text) for _, text in keys]
    at = max(0.0, min(LEFT, WIDTH - sum(widths)))
    for (style, text), width in zip(keys, widths, strict=True):
        parts.append(_key(style, at))
        parts.append(f'<text x="{at + 19:.1f}" y="17">{escape(text)}</text>')
        at += width
    opening = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(description)}">'
    return opening + "".join(parts) + "</svg>"


def _key(style: str, x: float) -> str:
    """Return the legend's sample of a line, a point or a bar, 14 units wide."""
    if style == "mark":
        return f'<line class="mark" x1="{x + 7:.1f}" y1="5" x2="{x + 7:.1f}" y2="20"/>'
    if style in ("line", "diagonal"):
        return f'<line class="{style}" x1="{x:.1f}" y1="13" x2="{x + 14:.1f}" y2="13"/>'
    if style == "dot":
        return f'<circle class="dot" cx="{x + 8:.1f}" cy="13" r="4.5"/>'
    return f'<rect class="{escape(style)}" x="{x + 2:.1f}" y="7" width="12" height="12"/>'
