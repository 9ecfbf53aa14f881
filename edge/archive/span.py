"""The stations and the time that a command of the archive is about."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime, time, timedelta, timezone
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, and_

from edge_inspect.edge.archive.tables import stations
from edge_inspect.edge.page.shift import shift_at


class Span(NamedTuple):
    """Stations and a time.

    Attributes:
        since: First moment, aware; `None`: from the beginning on.
        until: Moment after the last, aware; `None`: until now.
        station: site/line/station, with '+' in place of a name that may be any; `None`: all stations.
    """

    since: datetime | None = None
    until: datetime | None = None
    station: str | None = None

    def where(self, at: Column[Any]) -> ColumnElement[bool]:
        """Return the condition for a query.

        Args:
            at: Column with the time. The query joins `stations`.
        """
        conditions: list[ColumnElement[bool]] = [stations.c.id.is_not(None)]
        if self.since is not None:
            conditions.append(at >= self.since)
        if self.until is not None:
            conditions.append(at < self.until)
        if self.station is not None:
            columns = (stations.c.site, stations.c.line, stations.c.station)
            names = zip(columns, self.station.split("/"), strict=True)
            conditions += [column == name for column, name in names if name != "+"]
        return and_(*conditions)


def moment(text: str) -> datetime:
    """Return the time that an option gives; without a time zone it is this computer's.

    Raises:
        argparse.ArgumentTypeError: The text is no date or time.
    """
    try:
        # Python 3.10 does not read a Z.
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; write 2026-11-30, 2026-11-30T06:00 or 2026-11-30T06:00:00Z"
        ) from None


def station_pattern(text: str) -> str:
    """Return the pattern that an option gives.

    Raises:
        argparse.ArgumentTypeError: It does not have three levels.
    """
    if len(text.split("/")) != 3 or not all(text.split("/")):
        raise argparse.ArgumentTypeError(
            f"{text!r}: write SITE/LINE/STATION, with '+' in place of a name that may be any"
        )
    return text


def last_shift(now: datetime, times: Sequence[time]) -> tuple[datetime, datetime]:
    """Return the begin and the end of the last shift that has ended.

    Args:
        now: The present time, in the time zone in which the shifts begin.
        times: Times of day at which shifts begin, in rising order.
    """
    until = shift_at(now, times).since
    return shift_at(until - timedelta(seconds=1), times).since, until
