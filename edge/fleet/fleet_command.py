"""The options of `edge-inspect fleet`, and what it runs."""

from __future__ import annotations

import argparse

from edge_inspect.edge.fleet.fetch_options import add_fetch
from edge_inspect.edge.fleet.rollout_options import add_rollout
from edge_inspect.edge.fleet.station_options import add_stations, broker
from edge_inspect.edge.program import add_json_option, write_json

_LONGEST_WAIT_S = 3600.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands with their options."""
    parser.description = (
        "Lists the stations of a plant, changes their bundles in waves, and fetches their logs. Sees the stations by "
        "the status and the health that the broker keeps, so it runs on any computer that reaches the broker."
    )
    parser.epilog = "The stations of one line: edge-inspect fleet list --to 'plant1/line1/*'"
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_list(commands.add_parser("list", help="list stations with their bundles, rejects, drift and health"))
    add_rollout(commands.add_parser("rollout", help="change the bundle of many stations in waves, and watch them"))
    add_fetch(commands.add_parser("fetch", help="fetch the logs and the indices of evidence of many stations"))


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Prints one line per station: its state, the version of edge-inspect, its bundle with the beginning of the "
        "bundle's digest, precision and threshold; the share of rejects among about the last 200 parts, beside the "
        "upper control limit of what is usual; the drift of the scores, beside its limit; and its health with all "
        "alarms. A station that is offline or silent is shown so. Exit status 1 if no station was heard."
    )
    add_stations(parser, "default: all stations")
    parser.add_argument(
        "--wait",
        type=float,
        default=5.0,
        metavar="S",
        help="longest wait for a station, in seconds (default 5)",
    )
    add_json_option(parser)
    parser.set_defaults(handler=_list)


def _list(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.errors import UsageError
    from edge_inspect.edge.fleet.listing import list_stations
    from edge_inspect.edge.fleet.row_table import table
    from edge_inspect.edge.fleet.selector import Selectors

    if not 0 < arguments.wait <= _LONGEST_WAIT_S:
        raise UsageError(f"--wait {arguments.wait:g}: give 0 to {_LONGEST_WAIT_S:g} seconds")
    rows = list_stations(broker(arguments), Selectors(arguments.to), arguments.wait)
    if str(arguments.json) != "-":
        print("\n".join(table(rows)))
    write_json({"stations": rows}, arguments.json)
