"""The options of `edge-inspect demo`, and what they start."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_inspect.edge.program import say


def add_demo_options(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of `edge-inspect demo`."""
    parser.description = (
        "Runs the whole chain on this computer: renders a production line, trains on its good parts, calibrates a "
        "bundle, starts a broker, inspects a stream of parts, and prints each verdict as a subscriber receives it. "
        "Downloads nothing. Needs the extras [train] and [demo]. With --page, which needs the extra [page] too, the "
        "line then keeps running with its page in the browser, until Ctrl-C."
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/demo"),
        metavar="DIR",
        help="folder for all files (default out/demo); files of an earlier demo in it are deleted first",
    )
    parser.add_argument(
        "--frames", type=int, default=120, metavar="N", help="number of parts in the stream (default 120, at least 10)"
    )
    parser.add_argument("--steps", type=int, default=120, metavar="N", help="training steps (default 120)")
    parser.add_argument(
        "--page",
        action="store_true",
        help="leave the line running with its page on loopback; a finished demo in --out is used as it is",
    )
    parser.add_argument(
        "--port", type=int, default=8460, metavar="N", help="port of the page (default 8460; 0: any that is free)"
    )
    parser.set_defaults(handler=_demo)


def _demo(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.demo.chain import run_demo

    if not arguments.page:
        run_demo(arguments.out, arguments.frames, arguments.steps)
        say(f"watch the line live in a browser: edge-inspect demo --page --out {arguments.out}")
        return
    from edge_inspect.edge.demo.live import is_finished, keep_running

    if not is_finished(arguments.out):
        run_demo(arguments.out, arguments.frames, arguments.steps)
    keep_running(arguments.out, arguments.port)
