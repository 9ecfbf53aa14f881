"""The options of `edge-inspect fleet rollout`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge.fleet.station_options import add_stations, broker

if TYPE_CHECKING:  # slow imports are inside the functions, so that `--help` is quick
    from edge_inspect.edge.fleet.rollout_run import Wanted

_LONGEST_S = 7 * 86_400.0
_MOST = 1_000_000
_LONGEST_NAME = 64
_WAIT_S = 5.0
_PLANNED = (
    *("to", "url", "canary", "share", "watch_parts", "watch_seconds", "reply_seconds", "by"),
    *("skip_offline", "dry_run"),
)
"""Options of a new roll-out."""


def add_rollout(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of `fleet rollout` to its parser."""
    parser.description = (
        "Changes the bundle of many stations in waves: first --canary stations, then --share of all, then the rest. "
        "After its change, each station is watched until it has inspected --watch-parts parts with the new bundle. "
        "The roll-out stops if a station does not change, rejects more than is usual there, goes back to its former "
        "bundle by itself, raises an alarm, restarts, or is silent. Then every changed station is rolled back, and the "
        "command says why. The stations must allow the command `bundle`, and must have the bundle in bundles.folder, "
        "or fetch it from --url. The record lets the roll-out go on after Ctrl-C, a kill or a power cut (--resume). "
        "SIGUSR1 pauses it: stations are still watched, but no further one is changed; a second SIGUSR1 lets it go on. "
        "Exit status 0: every station is good; 1: stopped and rolled back; 2: wrong options; 130: interrupted."
    )
    parser.epilog = "To see the waves first: edge-inspect fleet rollout bottle-v4.zip --to 'plant1/*/*' --dry-run"
    parser.add_argument("bundle", type=Path, nargs="?", metavar="BUNDLE", help="bundle (folder or .zip)")
    add_stations(parser, "needed, except with --resume")
    parser.add_argument(
        "--url", metavar="URL", help="address from which stations fetch the bundle, if bundles.folder does not have it"
    )
    waves = parser.add_argument_group("waves")
    waves.add_argument("--canary", type=int, default=1, metavar="N", help="stations in the first wave (default 1)")
    waves.add_argument(
        "--share", type=float, default=0.3, metavar="SHARE", help="share of stations in the second wave (default 0.3)"
    )
    waves.add_argument(
        "--watch-parts",
        type=int,
        default=100,
        metavar="N",
        help="parts to watch at each station, at least 10 (default 100)",
    )
    waves.add_argument(
        "--watch-seconds",
        type=float,
        default=1800.0,
        metavar="S",
        help="longest time to watch a station, in seconds; it is then judged by the parts so far (default 1800)",
    )
    waves.add_argument(
        "--reply-seconds",
        type=float,
        default=600.0,
        metavar="S",
        help="longest time for a station to load the bundle, in seconds (default 600)",
    )
    waves.add_argument("--skip-offline", action="store_true", help="leave out stations that are offline or silent")
    waves.add_argument("--dry-run", action="store_true", help="show the waves, and change nothing")
    _add_record(parser)
    parser.set_defaults(handler=lambda arguments: _roll_out(arguments, parser))


def _add_record(parser: argparse.ArgumentParser) -> None:
    record = parser.add_mutually_exclusive_group()
    record.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="file for the record of the roll-out (default: rollout-TIME-DIGEST.jsonl in this folder)",
    )
    record.add_argument(
        "--resume", type=Path, metavar="FILE", help="go on with the roll-out whose record this is; BUNDLE is left out"
    )
    parser.add_argument(
        "--by",
        default="edge-inspect fleet",
        metavar="NAME",
        help="name of the sender, for the stations' records (default: edge-inspect fleet)",
    )


def _roll_out(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    from edge_inspect.edge.errors import UsageError
    from edge_inspect.edge.fleet.rollout_record import RolloutRecord
    from edge_inspect.edge.fleet.rollout_run import describe, make_plan, roll_out
    from edge_inspect.edge.program import say

    if (arguments.bundle is None) == (arguments.resume is None):
        raise UsageError("give either BUNDLE, to begin a roll-out, or --resume FILE, to go on with one")
    settings = broker(arguments)
    if arguments.resume is not None:
        _check_resume(arguments, parser)
        record = RolloutRecord(arguments.resume)
    else:
        plan = make_plan(settings, _wanted(arguments))
        if plan is None:
            say("every station has the bundle already; nothing was changed")
            return
        for line in describe(plan):
            print(line)
        if arguments.dry_run:
            return
        default = Path(f"rollout-{plan.at:%Y%m%dT%H%M%SZ}-{plan.digest[:12]}.jsonl")
        record = RolloutRecord.create(arguments.record or default, plan)
        say(f"record: {record.path}")
    try:
        roll_out(settings, record)
    finally:
        record.close()


def _check_resume(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Raise an error if an option is given that the record decides: it would have no effect."""
    from edge_inspect.edge.errors import UsageError

    for name in _PLANNED:
        if getattr(arguments, name) != parser.get_default(name):
            raise UsageError(
                f"--{name.replace('_', '-')} has no effect with --resume, because the record holds the plan; leave the "
                "option out, or begin a new roll-out"
            )


def _wanted(arguments: argparse.Namespace) -> Wanted:
    """Return the options of a new roll-out, checked."""
    from edge_inspect.edge.bundle.web_address import WebAddress
    from edge_inspect.edge.errors import UsageError
    from edge_inspect.edge.fleet.rollout_run import Wanted

    for name, low, high in (
        ("canary", 1, _MOST),
        ("share", 0, 1),
        ("watch_parts", 10, _MOST),
        ("watch_seconds", 1, _LONGEST_S),
        ("reply_seconds", 1, _LONGEST_S),
    ):
        value = getattr(arguments, name)
        if not low <= value <= high:
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: give {low:g} to {high:g}")
    if not arguments.to:
        raise UsageError("--to is missing; name the stations, such as --to 'plant1/line1/*'")
    if arguments.url is not None:
        try:
            WebAddress.parse(arguments.url)
        except ValueError as error:
            raise UsageError(f"--url {arguments.url!r}: {error}") from error
    if not arguments.bundle.resolve().name.isprintable():
        raise UsageError(
            f"{str(arguments.bundle)!r}: the name cannot be sent to stations; give the bundle a plain name"
        )
    if not 1 <= len(arguments.by) <= _LONGEST_NAME:
        raise UsageError(f"--by: give a name of 1 to {_LONGEST_NAME} characters")
    return Wanted(
        bundle=arguments.bundle,
        to=arguments.to,
        url=arguments.url,
        canary=arguments.canary,
        share=arguments.share,
        watch_parts=arguments.watch_parts,
        watch_seconds=arguments.watch_seconds,
        reply_seconds=arguments.reply_seconds,
        by=arguments.by,
        skip_offline=arguments.skip_offline,
        wait=_WAIT_S,
    )
