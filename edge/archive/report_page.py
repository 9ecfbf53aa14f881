"""The shift report as one HTML file without scripts and without anything from elsewhere; browsers print it as PDF."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from edge_inspect.edge.archive.report_figures import (
    MOST_EVENTS,
    MOST_POSITIONS,
    MOST_REJECTS,
    ReportFigures,
    StationFigures,
)

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2328; background: #fff; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2rem; break-after: avoid }
table { border-collapse: collapse; margin: .6rem 0; break-inside: avoid } th { text-align: left }
th, td { border-bottom: 1px solid #ccd3d8; padding: .2rem .9rem .2rem 0; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums }
figure { margin: .6rem 0; break-inside: avoid } figcaption, .note { color: #56636c; font-size: .87rem }
.bad { color: #a11; font-weight: 600 } .side { display: flex; flex-wrap: wrap; gap: 0 2.5rem }
.parts { display: flex; flex-wrap: wrap; gap: .8rem } .parts figure { width: 11rem; margin: 0; overflow-wrap: anywhere }
.parts img { width: 11rem }
svg { max-width: 100%; height: auto } svg text { font-size: 11px; fill: #56636c }
@media print { body { margin: 0; max-width: none; font-size: 11px } }
"""
_GOOD, _BAD = "#8fa3b0", "#b3261e"
_MOST_BARS = 96


def write_page(figures: ReportFigures, made_at: datetime) -> str:
    """Return the report.

    Args:
        figures: What it shows.
        made_at: Time at which it is made; its time zone is the one of the report.
    """
    zone = made_at.tzinfo

    def local(moment: datetime | None) -> str:
        return "" if moment is None else f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"

    since, until = local(figures.span.since) or "the beginning", local(figures.span.until) or local(made_at)
    body = [f"<h1>Inspection from {since} to {until}</h1>"]
    body.append(f'<p class="note">Made by edge-inspect at {local(made_at)} (UTC{made_at:%z}).</p>')
    body.append(_summary(figures))
    of_newest = f", of the newest {MOST_POSITIONS:,} of all stations" if figures.lacks_positions else ""
    body += [_station(each, local, of_newest) for each in figures.stations]
    body.append(_rejects(figures.rejects, local))
    body.append(_events(figures, local))
    title = f"Inspection {since} to {until}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _summary(figures: ReportFigures) -> str:
    missing = {each.station: each for each in figures.completeness}
    rows = []
    for each in figures.stations:
        lacks = missing[each.station].missing if each.station in missing else 0
        rows.append([each.station, each.parts, each.rejected, _percent(each.share), each.in_shadow or "", lacks or ""])
    head = ("station", "parts", "rejected", "share", "unusual in shadow", "missing")
    table = _table(head, rows) if rows else "<p>No part was inspected in this time.</p>"
    gaps = [line for each in figures.completeness if not each.complete for line in each.lines()]
    said = "".join(f'<p class="bad">{escape(line)}</p>' for line in gaps)
    if figures.completeness and not gaps:
        said = "<p>The sequence numbers show that no part is missing.</p>"
    return table + said


def _station(figures: StationFigures, local: Any, of_newest: str) -> str:
    latency = figures.latency_ms
    timing = f"Frame to verdict: {latency[0]:.1f} ms on average, {latency[1]:.1f} ms at most." if latency else ""
    tables = [
        ("Why parts were rejected", figures.outcomes),
        ("Area of the part", figures.areas),
        ("Kind, as people have named it", figures.classes),
        ("Bundle", figures.bundles),
    ]
    labels = {
        f"{word}, and the part was {'accepted' if ok else 'rejected'}": parts
        for (word, ok), parts in sorted(figures.labels.items())
    }
    tables.append(("What people said", labels))
    shown = "".join(f"<div>{_counted(title, counted)}</div>" for title, counted in tables if counted)
    return (
        f"<h2>{escape(figures.station)}</h2><p>{timing}</p>{_timeline(figures, local)}"
        f'<div class="side">{shown}{_positions(figures.positions, of_newest)}</div>'
    )


def _timeline(figures: StationFigures, local: Any) -> str:
    """Return a chart of the parts by time, the rejected parts red at the foot of each bar."""
    if not figures.timeline:
        return ""
    minutes, bars = figures.bars(_MOST_BARS)
    most, width = max(parts for parts, _ in bars), 860 / len(bars)
    drawn = []
    for at, counted in enumerate(bars):
        for number, colour in zip(counted, (_GOOD, _BAD), strict=True):
            height = 120 * number / most
            drawn.append(
                f'<rect x="{at * width:.1f}" y="{130 - height:.1f}" width="{width - 1:.1f}" height="{height:.1f}" '
                f'fill="{colour}"/>'
            )
    first, last = min(figures.timeline), max(figures.timeline)
    return (
        f'<figure><svg viewBox="0 0 860 150" width="860" role="img" aria-label="parts by time">{"".join(drawn)}'
        f'<text x="0" y="146">{local(first)[11:16]}</text><text x="860" y="146" text-anchor="end">'
        f"{local(last)[11:16]}</text></svg><figcaption>Parts in {minutes} minutes each, at most {most}; the rejected "
        "ones are red.</figcaption></figure>"
    )


def _positions(positions: Sequence[tuple[float, float]], of_newest: str) -> str:
    """Return a chart of where in the frame the defective regions were."""
    if not positions:
        return ""
    dots = "".join(
        f'<circle cx="{240 * min(1, max(0, across)):.1f}" cy="{180 * min(1, max(0, down)):.1f}" r="3"/>'
        for across, down in positions
    )
    return (
        f'<figure><svg viewBox="0 0 240 180" width="240" role="img" aria-label="positions of defects">'
        f'<rect width="240" height="180" fill="none" stroke="#ccd3d8"/><g fill="{_BAD}" fill-opacity=".35">{dots}</g>'
        f"</svg><figcaption>Where in the frame {len(positions)} defective regions were{of_newest}."
        "</figcaption></figure>"
    )


def _rejects(rows: Sequence[Any], local: Any) -> str:
    if not rows:
        return ""
    shown = []
    for row in rows:
        picture = f'<img alt="" src="data:image/jpeg;base64,{escape(row.thumbnail)}">' if row.thumbnail else ""
        what = row.not_found or f"score {row.score:.3g}, threshold {row.threshold:.3g}"
        lines = [local(row.decided_at), f"{row.station} #{row.sequence}", row.part_id or "", what, row.area_name or ""]
        lines += [f"{row.label_by}: {row.label_class or row.label}"] if row.label else []
        shown.append(f"<figure>{picture}<figcaption>{_lines(lines)}</figcaption></figure>")
    return f'<h2>The most unusual rejected parts, at most {MOST_REJECTS}</h2><div class="parts">{"".join(shown)}</div>'


def _events(figures: ReportFigures, local: Any) -> str:
    changes = [
        [local(row.at), row.station, f"#{row.sequence}", row.kind, row.before or "none", row.after or "none"]
        for row in figures.changes
    ]
    commands = [
        [
            local(row.at),
            row.station,
            row.command or "",
            row.by_whom or "",
            "done" if row.done else row.reason or "refused",
        ]
        for row in figures.commands
    ]
    states = [[local(row.at), row.station, row.state, row.reason or ""] for row in figures.states]
    parts = (
        (
            "Changes of bundle, threshold and recipe",
            ("time", "station", "from part", "what", "before", "after"),
            changes,
        ),
        ("Answered commands", ("time", "station", "command", "by", "result"), commands),
        ("States", ("time", "station", "state", "reason"), states),
    )
    cut = f'<p class="note">The first {MOST_EVENTS} of this time; there may be more.</p>'
    return "".join(
        f"<h2>{title}</h2>{_table(head, rows)}{cut if len(rows) >= MOST_EVENTS else ''}"
        for title, head, rows in parts
        if rows
    )


def _counted(title: str, counted: Mapping[str, int]) -> str:
    rows = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return _table((title, "parts"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    cells = "".join(f"<th>{escape(text)}</th>" for text in head)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(map(_row, rows))}</tbody></table>"


def _row(values: Iterable[Any]) -> str:
    cells = [
        f'<td class="number">{value:,}</td>' if isinstance(value, int) else f"<td>{escape(str(value))}</td>"
        for value in values
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _lines(texts: Iterable[str]) -> str:
    return "<br>".join(escape(text) for text in texts if text)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"
