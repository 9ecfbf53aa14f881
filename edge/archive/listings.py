"""What can be exported: each listing is a query with names in place of numbers, in the order of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, MetaData, Select, Table, select

from edge_inspect.edge.archive.span import Span
from edge_inspect.edge.archive.tables import (
    bundles,
    changes,
    commands,
    defects,
    labels,
    regions,
    replies,
    states,
    stations,
    verdicts,
)

newest_labels = Table("newest_labels", MetaData(), *(Column(each.name, each.type) for each in labels.c))
"""The view of the labels that count: the newest about each part."""
NAMES = (stations.c.site, stations.c.line, stations.c.station)
"""The columns that name a station."""


def parts(span: Span) -> Select[Any]:
    """Return the parts with their bundle, the number of their regions, and what a person has said about them."""
    own = [column for column in verdicts.c if column.name not in ("station_id", "bundle_id")]
    return (
        select(
            *NAMES,
            *own,
            bundles.c.name.label("bundle"),
            bundles.c.digest.label("bundle_digest"),
            defects.c.region_count,
            newest_labels.c.word.label("label"),
            newest_labels.c.defect_class.label("label_class"),
            newest_labels.c.by_whom.label("label_by"),
        )
        .join_from(verdicts, stations, stations.c.id == verdicts.c.station_id)
        .join(bundles, bundles.c.id == verdicts.c.bundle_id)
        .outerjoin(defects, defects.c.id == verdicts.c.id)
        .outerjoin(newest_labels, newest_labels.c.verdict_id == verdicts.c.id)
        .where(span.where(verdicts.c.decided_at))
        .order_by(verdicts.c.decided_at, verdicts.c.id)
    )


def _regions(span: Span) -> Select[Any]:
    return _with_names(regions, regions.c.decided_at, span).order_by(regions.c.id, regions.c.number)


def _labels(span: Span) -> Select[Any]:
    return _with_names(labels, labels.c.at, span)


def _changes(span: Span) -> Select[Any]:
    return _with_names(changes, changes.c.at, span)


def _states(span: Span) -> Select[Any]:
    return _with_names(states, states.c.at, span)


def commands_of(span: Span) -> Select[Any]:
    """Return the replies to commands, each with who has sent the command, as far as that is known."""
    asked = commands.c.fields.label("asked")
    return (
        select(*NAMES, *_without_station(replies), commands.c.by_whom, asked)
        .join_from(replies, stations, stations.c.id == replies.c.station_id)
        .outerjoin(commands, commands.c.id == replies.c.command_id)
        .where(span.where(replies.c.at))
        .order_by(replies.c.at)
    )


LISTINGS: dict[str, Callable[[Span], Select[Any]]] = {
    "parts": parts,
    "regions": _regions,
    "labels": _labels,
    "changes": _changes,
    "states": _states,
    "commands": commands_of,
}
"""The listings by name."""


def _with_names(table: Table, at: Column[Any], span: Span) -> Select[Any]:
    joined = select(*NAMES, *_without_station(table)).join_from(table, stations, stations.c.id == table.c.station_id)
    return joined.where(span.where(at)).order_by(at)


def _without_station(table: Table) -> list[Column[Any]]:
    return [column for column in table.c if column.name != "station_id"]
