"""The shift report as one HTML file without scripts and without anything from elsewhere; browsers print it as PDF."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from edge_inspect.edge.archive.report_figures import (
    MOST_EVENTS,
    MOST_OF_ROUTINE,
    MOST_POSITIONS,
    MOST_REJECTS,
    ReportFigures,
    StationFigures,
)
from edge_inspect.edge.archive.report_pictures import ReportPictures
from edge_inspect.edge.contract.messages import REASONS_OF_VIEWS

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
.parts figure.wide { width: 22.4rem } .parts img { width: 11rem; margin-right: .2rem; vertical-align: top }
.parts .wide img:last-of-type { margin-right: 0 }
svg { max-width: 100%; height: auto } svg text { font-size: 11px; fill: #56636c }
@media print { body { margin: 0; max-width: none; font-size: 11px } }
"""
_GOOD, _BAD = "#8fa3b0", "#b3261e"
_MOST_BARS = 96
_COMMANDS = "Answered commands"
_OUTCOMES = {
    "absent": "there was no part",
    "unclear": "too little of the part was recognised",
    "outside": "the part was partly outside the frame, or shifted too far",
    "turned": "the part was turned too far",
    "upside_down": "the part was upside down",
    "several": "there were several parts",
    "view_missing": "a view was missing",
    "view_unmatched": "it was uncertain which views belong to the part",
}
"""Plain words for the outcomes whose names are none."""
_WITHOUT_ARGUMENT = {"threshold": "the bundle's own", "bundle": "the bundle before"}
"""What a command means whose value or name is null."""
_NO_PICTURES = ReportPictures()


def write_page(figures: ReportFigures, made_at: datetime, pictures: ReportPictures = _NO_PICTURES) -> str:
    """Return the report.

    Args:
        figures: What it shows.
        made_at: Time at which it is made; its time zone is the one of the report.
        pictures: The stored pictures of the rejected parts that are shown.
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
    body.append(_rejects(figures.rejects, pictures, local))
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
        rows.append([each.station, each.parts, each.rejected, _percent(each.share), each.in_shadow, lacks])
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
        ("Why parts were rejected", {_OUTCOMES.get(name, name): parts for name, parts in figures.outcomes.items()}),
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


def _rejects(rows: Sequence[Any], pictures: ReportPictures, local: Any) -> str:
    if not rows:
        return ""
    shown, lacking = [], 0
    for row in rows:
        # A message's own thumbnail comes first.
        sources = (
            [row.thumbnail]
            if row.thumbnail
            else [base64.b64encode(each).decode() for each in pictures.of_parts.get(row.id, ())]
        )
        lacking += not sources
        images = "".join(f'<img alt="" src="data:image/jpeg;base64,{escape(source)}">' for source in sources)
        lines = [
            local(row.decided_at),
            f"{row.station} #{row.sequence}",
            row.part_id or "",
            _why(row),
            row.area_name or "",
        ]
        lines += [f"{row.label_by}: {row.label_class or row.label}"] if row.label else []
        wide = ' class="wide"' if len(sources) > 1 else ""
        shown.append(f"<figure{wide}>{images}<figcaption>{_lines(lines)}</figcaption></figure>")
    notes = []
    if any(len(each) > 1 for each in pictures.of_parts.values()):
        notes.append("Of two pictures of a part, the second shows in colour where the part is unusual.")
    if lacking:
        which = "these parts" if lacking == len(rows) else f"{lacking} of these {len(rows)} parts"
        notes.append(f"No picture of {which} is shown: {pictures.why_not}.")
    title = f"<h2>The most unusual rejected parts, at most {MOST_REJECTS}</h2>"
    note = f'<p class="note">{escape(" ".join(notes))}</p>' if notes else ""
    return f'{title}{note}<div class="parts">{"".join(shown)}</div>'


def _why(row: Any) -> str:
    """Return why a part was rejected."""
    outcome = row.not_found or (row.reason if row.reason in REASONS_OF_VIEWS else None)
    return _OUTCOMES.get(outcome, outcome) if outcome else f"score {row.score:.3g}, threshold {row.threshold:.3g}"


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
            _argument(row),
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
        (_COMMANDS, ("time", "station", "command", "with", "by", "result"), commands),
        ("States", ("time", "station", "state", "reason"), states),
    )
    return "".join(
        f"<h2>{title}</h2>{_table(head, rows)}{_note_of(title, rows)}" for title, head, rows in parts if rows
    )


def _note_of(title: str, rows: Sequence[Any]) -> str:
    """Return the sentences on what a list leaves out."""
    said = []
    if len(rows) >= MOST_EVENTS:
        said.append(f"The newest {MOST_EVENTS} of this time; there may be earlier ones.")
    if title == _COMMANDS:
        said.append(
            "Triggers and snapshots that were done are left out; of those that were refused, the newest "
            f"{MOST_OF_ROUTINE} are shown."
        )
    return f'<p class="note">{" ".join(said)}</p>' if said else ""


def _argument(row: Any) -> str:
    """Return what a command was sent with: a threshold, the name of a recipe and so on."""
    if not row.asked:
        return _WITHOUT_ARGUMENT.get(row.command, "") if row.known_id is not None else ""
    asked = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in row.asked.items()}
    asked |= {"digest": asked["digest"][:12]} if "digest" in asked else {}
    return ", ".join(value if name in ("name", "value") else f"{name} {value}" for name, value in asked.items())


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
