"""The options that name stations and their broker, which all subcommands of `edge-inspect fleet` have."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge.broker_options import add_broker_options, broker_settings

if TYPE_CHECKING:  # slow imports are inside the functions, so that `--help` is quick
    from edge_inspect.edge.configuration.mqtt_settings import MqttSettings


def add_stations(parser: argparse.ArgumentParser, otherwise: str) -> None:
    """Add the options that name the stations and the broker.

    Args:
        parser: Parser of the subcommand.
        otherwise: Words for the help: what holds without `--to`.
    """
    parser.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="SELECTOR",
        help="stations, as SITE/LINE/STATION; * stands for any characters of a name; the option may be repeated "
        f"({otherwise})",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration of a service, a bridge or a page; its section mqtt names the broker",
    )
    add_broker_options(parser)


def broker(arguments: argparse.Namespace) -> MqttSettings:
    """Return the settings of the connection to the broker.

    Raises:
        ConfigurationError: The configuration cannot be read, or its section `mqtt` has mistakes.
        UsageError: An option is wrong, or the stations use Sparkplug B.
    """
    from edge_inspect.edge.fleet.broker_file import read_broker

    return broker_settings(arguments, read_broker(arguments.config) if arguments.config else None)
