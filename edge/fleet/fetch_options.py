"""The options of `edge-inspect fleet fetch`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge.fleet.station_options import add_stations, broker

if TYPE_CHECKING:  # slow imports are inside the functions, so that `--help` is quick
    from edge_inspect.edge.contract.reports import Kind

_KINDS: tuple[Kind, ...] = ("log", "evidence")
_MOST = 1_000_000
_LONGEST_S = 3600.0
_WAIT_S = 5.0
_BY = "edge-inspect fleet"


def add_fetch(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of `fleet fetch` to its parser."""
    parser.description = (
        "Fetches the log of the service and the index of the evidence from many stations at the same time. Writes "
        "log.txt and evidence.csv into DIR/SITE/LINE/STATION; a file of an earlier fetch is replaced. log.txt has the "
        "newest 2,000 lines since the start of the service, which all stations of a box share. evidence.csv has a row "
        "for each stored part: time, id, ok, score, and its files below evidence.folder; the files themselves are not "
        "fetched. The stations must allow the command `report` (commands.allow). Prints a line for each station: what "
        "came, or why not. Exit status 0: everything came; 1: something did not; 2: wrong options."
    )
    parser.epilog = "The logs of one line: edge-inspect fleet fetch --to 'plant1/line1/*' --out fetched --what log"
    add_stations(parser, "needed")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the fetched files")
    parser.add_argument(
        "--what", nargs="+", choices=_KINDS, default=_KINDS, help="what to fetch (default: log evidence)"
    )
    parser.add_argument(
        "--most",
        type=int,
        default=10_000,
        metavar="N",
        help="largest number of lines, and of parts, from each station; the oldest come first (default 10000)",
    )
    parser.add_argument(
        "--reply-seconds",
        type=float,
        default=20.0,
        metavar="S",
        help="longest time to wait for each reply, in seconds (default 20)",
    )
    parser.set_defaults(handler=_fetch)


def _fetch(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.errors import UsageError
    from edge_inspect.edge.fleet.fetch import fetch
    from edge_inspect.edge.fleet.selector import Selectors
    from edge_inspect.edge.fleet.station_fetch import Wanted
    from edge_inspect.edge.program import say

    if not arguments.to:
        raise UsageError("--to is missing; name the stations, such as --to 'plant1/line1/*'")
    if not 1 <= arguments.most <= _MOST:
        raise UsageError(f"--most {arguments.most}: give 1 to {_MOST}")
    if not 1 <= arguments.reply_seconds <= _LONGEST_S:
        raise UsageError(f"--reply-seconds {arguments.reply_seconds:g}: give 1 to {_LONGEST_S:g}")
    what = [kind for kind in _KINDS if kind in arguments.what]
    wanted = Wanted(what, arguments.out, arguments.most, arguments.reply_seconds, _BY)
    fetch(broker(arguments), Selectors(arguments.to), wanted, _WAIT_S, say)
