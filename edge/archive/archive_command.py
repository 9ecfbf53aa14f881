"""`edge-inspect archive`: its subcommands and their options, and what they run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_inspect.edge.program import add_config_option, add_json_option, say, write_json

if TYPE_CHECKING:  # these may not be installed; `run_command` then says what is missing
    from sqlalchemy import Connection

    from edge_inspect.edge.archive.settings import ArchiveSettings
    from edge_inspect.edge.archive.span import Span

_LISTINGS = ("parts", "regions", "labels", "changes", "states", "commands")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `archive` to its parser."""
    parser.description = (
        "Stores verdicts, defects, labels, states, commands and changes of bundle and threshold of all stations in "
        "PostgreSQL, or in an SQLite file of one box. Every part is there exactly once, and `check` shows by the "
        "sequence numbers that none is missing. Needs the extra [archive]; docs/archive.md says how to set it up."
    )
    parser.epilog = "For one box: database: sqlite:////var/lib/edge-inspect-archive/archive.db is a configuration."
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="store what comes, until it is ended"))
    _add_check(commands.add_parser("check", help="show whether parts are missing"))
    _add_export(commands.add_parser("export", help="write parts, labels or changes to CSV or Parquet"))
    _add_report(commands.add_parser("report", help="write the report of a shift as HTML"))
    _add_migrate(commands.add_parser("migrate", help="bring the tables to this release's"))


def _add_span(parser: argparse.ArgumentParser, default: str, of_both: str = "") -> None:
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="TIME",
        help=f"begin, such as 2026-11-30T06:00{of_both}; without a time zone it is this computer's "
        f"(default: {default})",
    )
    parser.add_argument("--until", type=_moment, metavar="TIME", help=f"moment after the end{of_both} (default: now)")
    parser.add_argument(
        "--station",
        type=_station,
        metavar="SITE/LINE/STATION",
        help="'+' in place of a name stands for every name (default: all stations)",
    )


def _moment(text: str) -> Any:
    from edge_inspect.edge.archive.span import moment

    return moment(text)


def _station(text: str) -> str:
    from edge_inspect.edge.archive.span import station_pattern

    return station_pattern(text)


def _span(arguments: argparse.Namespace) -> Span:
    from edge_inspect.edge.archive.span import Span

    return Span(arguments.since, arguments.until, arguments.station)


def _read(arguments: argparse.Namespace) -> ArchiveSettings:
    from edge_inspect.edge.archive.settings import ArchiveSettings
    from edge_inspect.edge.configuration.file import read_settings

    return read_settings(arguments.config, ArchiveSettings)


@contextmanager
def _connected(arguments: argparse.Namespace) -> Iterator[Connection]:
    """Open the database of the configuration, whose tables must be there.

    Raises:
        UsageError: The database cannot be used, or its tables are of another release.
    """
    from edge_inspect.edge.archive.database import open_database, place_of, reading
    from edge_inspect.edge.archive.migrations import current_revision, newest_revision
    from edge_inspect.edge.errors import UsageError

    settings = _read(arguments)
    engine, place = open_database(settings), place_of(settings)
    try:
        with reading(engine, place, arguments.config) as connection:
            if (revision := current_revision(connection)) != newest_revision():
                raise UsageError(
                    f"{arguments.config}: database {place}: its tables are of revision {revision or 'none'}, and this "
                    f"release uses {newest_revision()}; edge-inspect archive migrate brings them there"
                )
            yield connection
    finally:
        engine.dispose()


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Subscribes to the stations over MQTT and stores what they say. A message is acknowledged to the broker only "
        "after its transaction, and the broker keeps the session, so an outage of the archive or of its database loses "
        "nothing that the broker has room for; what is missing after that, the stations are asked to send again. "
        "Makes the tables where they are missing. Ends on SIGTERM or Ctrl-C."
    )
    add_config_option(parser, "archive")
    parser.add_argument("--verbose", action="store_true", help="log at level DEBUG")
    parser.set_defaults(handler=_run)


def _run(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.archive.service import run
    from edge_inspect.edge.archive.settings import ArchiveSettings
    from edge_inspect.edge.long_running import run_program

    run_program(arguments, ArchiveSettings, run)


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Prints a line for each station: its parts, the sequence numbers that are missing, and rejected parts without "
        "their defect. Exit status 1 if anything is missing. A number is missing if a later part is there, or if the "
        "station has announced it; numbers before the first part that the archive has heard of are not."
    )
    add_config_option(parser, "archive")
    _add_span(parser, "the beginning")
    add_json_option(parser)
    parser.set_defaults(handler=_check)


def _check(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.archive.completeness import check
    from edge_inspect.edge.errors import CheckFailed

    with _connected(arguments) as connection:
        found = check(connection, _span(arguments))
    if str(arguments.json) != "-":
        for station in found:
            for line in station.lines():
                print(line)
    write_json({"stations": [station.as_dict() for station in found]}, arguments.json)
    if missing := [station.station for station in found if not station.complete]:
        raise CheckFailed(
            f"parts or defects are missing from {', '.join(missing)}; the archive asks for them while it "
            "runs, and a station has what its outbox.history_bytes holds"
        )


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes one listing to a file whose ending says the format: .csv, or .parquet with the extra [parquet]. Times "
        "in the file are in UTC."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="file to write; it is replaced")
    parser.add_argument(
        "--what", choices=_LISTINGS, default="parts", help="what is written (default: parts, with their labels)"
    )
    add_config_option(parser, "archive")
    _add_span(parser, "the beginning")
    parser.set_defaults(handler=_export)


def _export(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.archive.export import check_format, export
    from edge_inspect.edge.archive.listings import LISTINGS

    check_format(arguments.file)
    with _connected(arguments) as connection:
        rows = export(connection, LISTINGS[arguments.what](_span(arguments)), arguments.file)
    say(f"{arguments.file}: {rows} {arguments.what}")


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Writes a report as one HTML file that needs nothing else: counts, rejects by kind and position, the most "
        "unusual parts with their stored pictures, changes, answered commands, states, and whether parts are missing. "
        "A browser prints it as PDF."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="HTML file to write; it is replaced")
    add_config_option(parser, "archive")
    _add_span(parser, "the last shift that has ended, by 'shifts' of the configuration", ", a multiple of 5 minutes")
    parser.set_defaults(handler=_report)


def _report(arguments: argparse.Namespace) -> None:
    from datetime import datetime

    from edge_inspect.edge.archive.report_figures import read_figures
    from edge_inspect.edge.archive.report_page import write_page
    from edge_inspect.edge.archive.report_pictures import read_pictures
    from edge_inspect.edge.archive.settings import INTERVAL_S
    from edge_inspect.edge.archive.span import last_shift
    from edge_inspect.edge.errors import UsageError
    from edge_inspect.edge.files import write_atomically

    settings, now, span = _read(arguments), datetime.now().astimezone(), _span(arguments)
    if span.since is None and span.until is None:
        since, until = last_shift(now, settings.shift_times)
        span = span._replace(since=since, until=until)
    for option, moment in (("--since", span.since), ("--until", span.until)):
        if moment is not None and moment.timestamp() % INTERVAL_S:
            raise UsageError(
                f"{option} {moment.isoformat()}: parts are counted by five minutes; give a multiple of them"
            )
    with _connected(arguments) as connection:
        figures = read_figures(connection, span)
        pictures = read_pictures(connection, settings.pictures, figures.rejects)
    write_atomically(arguments.file, write_page(figures, now, pictures).encode())
    say(f"{arguments.file}: {sum(station.parts for station in figures.stations)} parts")


def _add_migrate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Makes the tables in the database, or brings those of an earlier release to this one's. `archive run` does "
        "that at its start too. Run it by itself to see that it works, or after a backup."
    )
    add_config_option(parser, "archive")
    parser.set_defaults(handler=_migrate)


def _migrate(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.archive.database import open_database, place_of, writing
    from edge_inspect.edge.archive.migrations import migrate, newest_revision

    settings = _read(arguments)
    engine = open_database(settings)
    try:
        with writing(engine, place_of(settings), arguments.config) as connection:
            done = migrate(connection)
    finally:
        engine.dispose()
    say(f"database {place_of(settings)}: revision {newest_revision()}{'' if done else ', as before'}")
