"""The options of `edge-inspect fleet`, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge.broker_options import add_broker_options, broker_settings
from edge_inspect.edge.program import add_json_option, write_json

if TYPE_CHECKING:  # slow imports are inside the functions, so that `--help` is quick
    from edge_inspect.edge.configuration.mqtt_settings import MqttSettings

_LONGEST_WAIT_S = 3600.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands with their options."""
    parser.description = (
        "Lists the stations of a plant, and changes their bundles in waves. Sees the stations by the status and the "
        "health that the broker keeps, so it runs on any computer that reaches the broker."
    )
    parser.epilog = "The stations of one line: edge-inspect fleet list --to 'plant1/line1/*'"
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_list(commands.add_parser("list", help="list stations with their bundles, rejects, drift and health"))


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Prints one line per station: its state, the version of edge-inspect, its bundle with the beginning of the "
        "bundle's digest, precision and threshold; the share of rejects among about the last 200 parts, beside the "
        "upper control limit of what is usual; the drift of the scores, beside its limit; and its health with all "
        "alarms. A station that is offline or silent is shown so. Exit status 1 if no station was heard."
    )
    _add_stations(parser)
    parser.add_argument(
        "--wait",
        type=float,
        default=5.0,
        metavar="S",
        help="longest wait for a station, in seconds (default 5)",
    )
    add_json_option(parser)
    parser.set_defaults(handler=_list)


def _add_stations(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="SELECTOR",
        help="stations, as SITE/LINE/STATION; * stands for any characters of a name; the option may be repeated "
        "(default: all stations)",
    )
    _add_broker(parser)


def _add_broker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration of a service, a bridge or a page; its section mqtt names the broker",
    )
    add_broker_options(parser)


def _list(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.errors import UsageError
    from edge_inspect.edge.fleet.listing import list_stations
    from edge_inspect.edge.fleet.row_table import table
    from edge_inspect.edge.fleet.selector import Selectors

    if not 0 < arguments.wait <= _LONGEST_WAIT_S:
        raise UsageError(f"--wait {arguments.wait:g}: give 0 to {_LONGEST_WAIT_S:g} seconds")
    rows = list_stations(_broker(arguments), Selectors(arguments.to), arguments.wait)
    if str(arguments.json) != "-":
        print("\n".join(table(rows)))
    write_json({"stations": rows}, arguments.json)


def _broker(arguments: argparse.Namespace) -> MqttSettings:
    from edge_inspect.edge.fleet.broker_file import read_broker

    return broker_settings(arguments, read_broker(arguments.config) if arguments.config else None)
