"""The archive's health over HTTP: whether it stores what comes, and its figures for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from edge_inspect.edge import __version__
from edge_inspect.edge.health.exposition import Family, Kind, Sample, as_text
from edge_inspect.edge.health.http import Answer


class ArchiveFigures(NamedTuple):
    """What the archive shows of itself.

    Attributes:
        alive: Whether its threads run.
        connected: Whether it is connected to the broker.
        problem: Why the database takes nothing at the moment; `None` while it does.
        waiting: Number of messages that are received and not stored yet.
        inserted: Number of rows that were inserted, by table.
        repeated: Number of rows that were in the database already.
        skipped: Number of messages that could not be read or stored.
        stored_at: Time of the last transaction, in seconds since 1970; `None` before the first.
        pictures: Number of pictures that were stored, and that were not; `None` if none are to be stored.
        missing: Number of missing parts, by station (site/line/station).
        lost: Number of parts that are lost for ever, by station.
    """

    alive: bool
    connected: bool
    problem: str | None
    waiting: int
    inserted: Mapping[str, int]
    repeated: int
    skipped: int
    stored_at: float | None
    pictures: tuple[int, int] | None
    missing: Mapping[str, int]
    lost: Mapping[str, int]


def answers(read: Callable[[], ArchiveFigures]) -> Callable[[str], Answer]:
    """Return what answers the requests of a monitor.

    /healthz is 200 while broker and database are connected, /livez while the archive's threads run.

    Args:
        read: Called at every request.
    """

    def answer(path: str) -> Answer:
        figures = read()
        if path == "/metrics":
            return Answer.of_metrics(as_text(families(figures)))
        ok = figures.alive and (path == "/livez" or (figures.connected and figures.problem is None))
        fields = {"connected": figures.connected, "database": figures.problem or "ok", "waiting": figures.waiting}
        return Answer.of_health(ok, fields)

    return answer


def families(figures: ArchiveFigures) -> Iterator[Family]:
    """Yield the figures as metrics. Their names begin with `edge_inspect_archive_`."""
    yield Family("archive_info", "gauge", "Version of edge-inspect; always 1.", [Sample({"version": __version__}, 1)])
    yield _one("mqtt_connected", "gauge", "1 while the archive is connected to the broker.", figures.connected)
    yield _one("database_connected", "gauge", "1 while the database takes rows.", figures.problem is None)
    yield _one("waiting_messages", "gauge", "Messages that are received and not stored yet.", figures.waiting)
    rows = [Sample({"table": table}, count) for table, count in sorted(figures.inserted.items())]
    yield Family("archive_rows_total", "counter", "Rows inserted since the start.", rows)
    yield _one("repeats_total", "counter", "Rows that were in the database already.", figures.repeated)
    yield _one("skipped_total", "counter", "Messages that could not be read or stored.", figures.skipped)
    if figures.stored_at is not None:
        about = "Time of the last transaction, in seconds since 1970."
        yield _one("last_stored_timestamp_seconds", "gauge", about, figures.stored_at)
    if figures.pictures is not None:
        stored, dropped = figures.pictures
        yield _one("pictures_stored_total", "counter", "Pictures and maps of parts that were stored.", stored)
        yield _one("pictures_dropped_total", "counter", "Pictures and maps of parts that were not stored.", dropped)
    about = "Parts that have not come; the station is asked for them."
    yield _by_station("missing_parts", "gauge", about, figures.missing)
    about = "Parts that were missing until the station did not have them any more."
    yield _by_station("lost_parts_total", "counter", about, figures.lost)


def _one(name: str, kind: Kind, about: str, value: float) -> Family:
    return Family(f"archive_{name}", kind, about, [Sample({}, value)])


def _by_station(name: str, kind: Kind, about: str, values: Mapping[str, int]) -> Family:
    levels = ("site", "line", "station")
    samples = [Sample(dict(zip(levels, key.split("/"), strict=True)), value) for key, value in sorted(values.items())]
    return Family(f"archive_{name}", kind, about, samples)
