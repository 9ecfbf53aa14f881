"""The figures of the shift report, read from the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, case, func, select

from edge_inspect.edge.archive.completeness import StationCompleteness, check
from edge_inspect.edge.archive.listings import LISTINGS, NAMES, commands_of, newest_labels, parts
from edge_inspect.edge.archive.settings import INTERVAL_S
from edge_inspect.edge.archive.span import Span
from edge_inspect.edge.archive.tables import (
    bundles,
    changes,
    commands,
    counts,
    defects,
    regions,
    replies,
    states,
    stations,
    verdicts,
)

MOST_REJECTS = 24
"""Rejected parts that are shown one by one, the most unusual first."""
MOST_POSITIONS = 5000
"""Defective regions, of all stations together, whose positions are shown; the newest."""
MOST_EVENTS = 200
"""Longest list of changes, of commands and of states; the newest are shown."""
MOST_OF_ROUTINE = 20
"""Largest number of refused commands of `ROUTINE` that are shown; the newest."""
ROUTINE = ("trigger", "snapshot")
"""Commands that change nothing and that programs may send for every part; those that were done are not shown."""


@dataclass
class StationFigures:
    """The figures of one station.

    Attributes:
        station: site/line/station.
        parts: Number of inspected parts.
        rejected: Number of rejected parts.
        in_shadow: Number of parts that would have been rejected if the station had not been in shadow.
        outcomes: Rejected parts by outcome: defect, how the part was not found, or which reason its views gave.
        areas: Rejected parts by the area to look at; empty if the bundle has no areas.
        classes: Rejected parts by the kind of defect that people have named.
        labels: Labelled parts by word and by whether the part was accepted.
        bundles: Parts by bundle and recipe.
        timeline: Begin of each interval, with its parts and rejected parts, in order.
        positions: Centroids of defective regions, as shares of the frame's width and height.
        latency_ms: Mean and longest time from frame to verdict, in milliseconds; `None` without parts.
    """

    station: str
    parts: int = 0
    rejected: int = 0
    in_shadow: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    areas: dict[str, int] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    labels: dict[tuple[str, bool], int] = field(default_factory=dict)
    bundles: dict[str, int] = field(default_factory=dict)
    timeline: dict[datetime, tuple[int, int]] = field(default_factory=dict)
    positions: list[tuple[float, float]] = field(default_factory=list)
    latency_ms: tuple[float, float] | None = None

    @property
    def share(self) -> float | None:
        """Share of rejected parts; `None` without parts."""
        return self.rejected / self.parts if self.parts else None

    def bars(self, most: int) -> tuple[int, list[tuple[int, int]]]:
        """Return the timeline in equal steps from its first to its last interval.

        Args:
            most: Largest number of steps.

        Returns:
            Length of a step in minutes; parts and rejected parts of each step.
        """
        begin = min(self.timeline)
        places = {moment: round((moment - begin).total_seconds()) // INTERVAL_S for moment in self.timeline}
        intervals = max(places.values()) + 1
        each = -(-intervals // most)
        sums = [(0, 0)] * -(-intervals // each)
        for moment, (inspected, rejected) in self.timeline.items():
            before = sums[places[moment] // each]
            sums[places[moment] // each] = (before[0] + inspected, before[1] + rejected)
        return each * INTERVAL_S // 60, sums


@dataclass(frozen=True)
class ReportFigures:
    """All figures of a report.

    Attributes:
        span: Stations and time.
        stations: The figures by station, in order.
        rejects: The most unusual rejected parts, as rows of the listing `parts` with the thumbnail.
        changes: Changes of bundle, threshold and recipe.
        commands: Commands that were answered, with who has sent them; of those of `ROUTINE`, only refused ones. `asked`
            has the arguments; `known_id` is `None` if the archive has only the reply.
        states: States that the stations announced.
        completeness: Whether parts are missing.
    """

    span: Span
    stations: Sequence[StationFigures]
    rejects: Sequence[Row[Any]]
    changes: Sequence[Row[Any]]
    commands: Sequence[Row[Any]]
    states: Sequence[Row[Any]]
    completeness: Sequence[StationCompleteness]

    @property
    def lacks_positions(self) -> bool:
        """Whether there may be more defective regions than those whose positions are shown."""
        return sum(len(each.positions) for each in self.stations) >= MOST_POSITIONS


def read_figures(connection: Connection, span: Span) -> ReportFigures:
    """Return the figures of a time.

    Args:
        connection: Connection to the database.
        span: Stations and time. Counts are kept by five minutes, so it should begin and end at such a time.
    """
    found: dict[str, StationFigures] = defaultdict(lambda: StationFigures(""))
    _add_counts(connection, span, found)
    _add_kinds(connection, span, found)
    _add_labels(connection, span, found)
    for name, figures in found.items():
        figures.station = name
    unusual = (verdicts.c.score - verdicts.c.threshold).desc()
    rejects = parts(span).add_columns(defects.c.thumbnail).where(~verdicts.c.ok).order_by(None)
    return ReportFigures(
        span=span,
        stations=[found[name] for name in sorted(found)],
        rejects=connection.execute(rejects.order_by(unusual, verdicts.c.id).limit(MOST_REJECTS)).all(),
        changes=_newest(connection, LISTINGS["changes"](span), changes.c.at),
        commands=_commands(connection, span),
        states=_newest(connection, LISTINGS["states"](span), states.c.at),
        completeness=check(connection, span),
    )


def _newest(connection: Connection, query: Select[Any], at: Column[Any], most: int | None = None) -> Sequence[Row[Any]]:
    """Return the newest rows of a listing, the earliest of them first."""
    newest = query.order_by(None).order_by(at.desc()).limit(MOST_EVENTS if most is None else most)
    return connection.execute(newest).all()[::-1]


def _commands(connection: Connection, span: Span) -> list[Row[Any]]:
    answered = commands_of(span).add_columns(commands.c.id.label("known_id"))
    is_routine = replies.c.command.in_(ROUTINE)
    refused = answered.where(is_routine, ~replies.c.done)
    others = answered.where(is_routine.is_not(True))  # the command of a reply may be unknown
    shown = [
        *_newest(connection, others, replies.c.at),
        *_newest(connection, refused, replies.c.at, MOST_OF_ROUTINE),
    ]
    return sorted(shown, key=lambda row: row.at)


def _key(row: Any) -> str:
    return f"{row.site}/{row.line}/{row.station}"


def _add_counts(connection: Connection, span: Span, found: dict[str, StationFigures]) -> None:
    """Add what the table of counts has."""
    rows = connection.execute(
        select(*NAMES, counts, bundles.c.name.label("bundle"))
        .join_from(counts, stations, stations.c.id == counts.c.station_id)
        .join(bundles, bundles.c.id == counts.c.bundle_id)
        .where(span.where(counts.c.at))
        .order_by(counts.c.at)
    )
    for row in rows:
        figures = found[_key(row)]
        rejected = 0 if row.ok else row.parts
        figures.parts += row.parts
        figures.rejected += rejected
        if not row.ok:
            figures.outcomes[row.outcome] = figures.outcomes.get(row.outcome, 0) + row.parts
        elif row.outcome != "good":
            figures.in_shadow += row.parts
        bundle = row.bundle + (f", recipe {row.recipe}" if row.recipe else "")
        figures.bundles[bundle] = figures.bundles.get(bundle, 0) + row.parts
        before = figures.timeline.get(row.at, (0, 0))
        figures.timeline[row.at] = (before[0] + row.parts, before[1] + rejected)
        mean, longest = figures.latency_ms or (0.0, 0.0)
        # The mean of all parts so far.
        mean += (row.latency_ms_sum - mean * row.parts) / figures.parts
        figures.latency_ms = (mean, max(longest, row.latency_ms_max))


def _add_kinds(connection: Connection, span: Span, found: dict[str, StationFigures]) -> None:
    """Add areas and positions of the rejected parts."""
    areas = (
        select(*NAMES, verdicts.c.area_name, func.count().label("parts"))
        .join_from(verdicts, stations, stations.c.id == verdicts.c.station_id)
        .where(span.where(verdicts.c.decided_at), ~verdicts.c.ok, verdicts.c.area_name.is_not(None))
        .group_by(*NAMES, verdicts.c.area_name)
    )
    for row in connection.execute(areas):
        found[_key(row)].areas[row.area_name] = row.parts
    places = (
        select(*NAMES, regions.c.across, regions.c.down)
        .join_from(regions, stations, stations.c.id == regions.c.station_id)
        .where(span.where(regions.c.decided_at))
        .order_by(regions.c.decided_at.desc())
        .limit(MOST_POSITIONS)
    )
    for row in connection.execute(places):
        found[_key(row)].positions.append((row.across, row.down))


def _add_labels(connection: Connection, span: Span, found: dict[str, StationFigures]) -> None:
    """Add what people have said about the parts of this time, whenever they said so."""
    named = case((newest_labels.c.word == "defect", newest_labels.c.defect_class))
    rows = connection.execute(
        select(*NAMES, newest_labels.c.word, verdicts.c.ok, named.label("kind"), func.count().label("parts"))
        .join_from(verdicts, stations, stations.c.id == verdicts.c.station_id)
        .join(newest_labels, newest_labels.c.verdict_id == verdicts.c.id)
        .where(span.where(verdicts.c.decided_at), newest_labels.c.word.is_not(None))
        .group_by(*NAMES, newest_labels.c.word, verdicts.c.ok, named)
    )
    for row in rows:
        figures = found[_key(row)]
        figures.labels[row.word, row.ok] = figures.labels.get((row.word, row.ok), 0) + row.parts
        if row.word == "defect" and not row.ok:
            figures.classes[row.kind or "no kind given"] = (
                figures.classes.get(row.kind or "no kind given", 0) + row.parts
            )
