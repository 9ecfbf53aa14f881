"""The command `edge-inspect`: the service on the box, and the tools around it."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge import __version__
from edge_inspect.edge.cameras.registry import CAMERAS
from edge_inspect.edge.engines.registry import DEFAULT, ENGINES
from edge_inspect.edge.program import add_json_option, run_command, say, write_json
from edge_inspect.edge.request_options import add_options, send
from edge_inspect.edge.triggers import TRIGGERS

# Nothing here imports what may not be installed before a handler runs: run_command says what is missing.
if TYPE_CHECKING:
    from edge_inspect.edge.contract.fields import Precision

PRECISIONS: tuple[Precision, ...] = ("int8", "bf16", "fp16", "fp32")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-inspect`; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="edge-inspect",
        description="Inspects parts on a production line: camera to verdict to MQTT.",
        epilog="Try it without camera, broker or data: edge-inspect demo",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="run the service"))
    _add_check(commands.add_parser("check", help="check a configuration: every mistake at once"))
    _add_image(commands.add_parser("image", help="inspect image files"))
    _add_review(commands.add_parser("review", help="a contact sheet of saved evidence"))
    _add_bench(commands.add_parser("bench", help="measure a bundle on this box"))
    _add_command(commands.add_parser("command", help="send a command to a station and print its reply"))
    _add_bridge(commands.add_parser("bridge", help="show the verdicts to a PLC over Modbus TCP"))
    _add_doctor(commands.add_parser("doctor", help="say what this box has and lacks"))
    _add_selftest(commands.add_parser("selftest", help="run a small bundle in each precision: what this box can do"))
    _add_demo(commands.add_parser("demo", help="the whole chain on a rendered production line"))
    return run_command(parser, argv)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Inspects every frame of every station in the configuration and publishes the verdicts over MQTT. A broker "
        "that is away is no error: verdicts wait in the outbox. Ends on SIGTERM or Ctrl-C after the part in hand, or "
        "when every source has ended. SIGHUP reads the configuration again. Exit status 75: something hung that could "
        "not be helped from inside."
    )
    parser.epilog = _what_there_is()
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration, YAML")
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(handler=_run)


def _what_there_is() -> str:
    """Return what a configuration can name for cameras, triggers and engines."""
    cameras = ", ".join(f"{kind.scheme}: ({kind.about})" for kind in CAMERAS.values())
    triggers = ", ".join(kind.form for kind in TRIGGERS)
    engines = ", ".join(f"{kind.name} ({kind.runs_on})" for kind in ENGINES.values())
    return f"Cameras: {cameras}. Triggers: {triggers}. Engines: {engines}. docs/cameras.md has options and examples."


def _run(arguments: argparse.Namespace) -> None:
    import logging

    from edge_inspect.edge.configuration.file import load_settings
    from edge_inspect.edge.service import run

    _start_log(arguments.verbose)
    run(load_settings(arguments.config), lambda: load_settings(arguments.config))
    if any(thread.daemon for thread in threading.enumerate()):
        # One that is in native code yet, as where an engine is being built, aborts the process when Python ends.
        logging.shutdown()
        os._exit(0)


def _start_log(verbose: bool) -> None:
    import logging

    from edge_inspect.edge.log_limit import LogLimit
    from edge_inspect.edge.systemd import log_handler

    handler = log_handler()
    handler.addFilter(LogLimit())
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
        handlers=[handler],
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Reads a configuration, opens its bundles, checks their signatures where it names public keys, and looks for "
        "its cameras, triggers, folders and files, without starting anything; certificates, keys and passwords are "
        "loaded as the service does. Lists every mistake with its key. Exit status 2 if there is one."
    )
    parser.epilog = _what_there_is()
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration, YAML")
    parser.add_argument("--bridge", action="store_true", help="it is the configuration of `edge-inspect bridge`")
    parser.add_argument(
        "--connect",
        action="store_true",
        help="connect to the broker too, as a client of its own that no running station notices: say what the broker "
        "announces, and ask for the topics that are needed; exit status 1 if the broker refuses any of it",
    )
    parser.set_defaults(handler=_check)


def _check(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.check import check

    for line in check(arguments.config, of_bridge=arguments.bridge, connect=arguments.connect):
        say(line)


def _add_image(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Inspects image files with a bundle: one line a file on standard output, accept or reject. One that cannot be "
        "read is told of on standard error, the others are inspected, and the exit status is 2."
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="images, or folders of them")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: what the bundle prefers")
    parser.add_argument(
        "--overlay", type=Path, metavar="DIR", help="write each image with its map and regions there, as STEM.png"
    )
    add_json_option(parser)
    parser.set_defaults(handler=_image)


def _image(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.errors import ImageError
    from edge_inspect.edge.inspection import inspect_files

    results = inspect_files(arguments.bundle, arguments.paths, arguments.precision, arguments.overlay)
    found, unread = [], []
    for result in results:
        found.append(result)
        if "error" in result:
            unread.append(result["error"])
            say(result["error"])
        elif str(arguments.json) != "-":
            verdict = "accept" if result["ok"] else "reject"
            print(f"{verdict}  {result['score']:.4f}  {result['path']}", flush=True)
    write_json({"images": found}, arguments.json)
    if unread:
        raise ImageError(f"{len(unread)} of {len(found)} images could not be read; the reasons are above")


def _add_review(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Draws a contact sheet of the evidence that the service has saved: each rejected or borderline part beside its "
        "map, newest first. One line a part on standard output, in the order of the sheet, with the picture's path."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="what evidence.folder names in the configuration")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the sheet (default DIR/review.jpg)")
    parser.add_argument("--only", choices=("rejects", "borderline"), help="default: both")
    parser.add_argument("--newest", type=int, default=90, metavar="N", help="parts on the sheet (default 90)")
    add_json_option(parser)
    parser.set_defaults(handler=_review)


def _review(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.errors import UsageError
    from edge_inspect.edge.evidence.review import review

    if arguments.newest < 1:
        raise UsageError(f"--newest {arguments.newest} must be at least 1")
    sheet = arguments.out or arguments.folder / "review.jpg"
    listed = review(arguments.folder, sheet, arguments.newest, arguments.only)
    for i, part in enumerate(listed, 1):
        if str(arguments.json) != "-":
            print(f"#{i}  {'accept' if part['ok'] else 'reject'}  {part['score']:.4f}  {part['path']}")
    write_json({"evidence": listed}, arguments.json)
    say(f"contact sheet: {sheet}")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measures a bundle on this box: the engine alone (network input ready, features out), and end to end from a "
        "frame in memory to the verdict with its regions."
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: what the bundle prefers")
    parser.add_argument("--engine", choices=ENGINES, help=f"default: {DEFAULT}")
    parser.add_argument("--frames", type=int, default=200, metavar="N", help="frames to time (default 200)")
    parser.add_argument("--size", default="640x480", metavar="WxH", help="size of the frames (default 640x480)")
    add_json_option(parser)
    parser.set_defaults(handler=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.bench import bench
    from edge_inspect.edge.errors import UsageError
    from edge_inspect.edge.frame.fit import parse_size

    size = parse_size(arguments.size)
    if arguments.frames < 1 or min(size) < 1:
        raise UsageError(f"--frames {arguments.frames} and --size {arguments.size} must be at least 1")
    result = bench(arguments.bundle, arguments.precision, arguments.frames, size, arguments.engine)
    for name, value in result.items():
        say(f"{name:24} {value}")
    write_json(result, arguments.json)


def _add_command(parser: argparse.ArgumentParser) -> None:
    add_options(parser)
    parser.set_defaults(handler=send)


def _add_bridge(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Follows stations over MQTT, asks them for parts that did not come, and shows their verdicts to a PLC as "
        "registers over Modbus TCP; docs/bridge.md has the map. Ends on SIGTERM or Ctrl-C."
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the bridge's configuration, YAML")
    parser.add_argument("--map", action="store_true", help="print the registers of its stations, and end")
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(handler=_bridge)


def _bridge(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.bridge.registers import document
    from edge_inspect.edge.bridge.service import run
    from edge_inspect.edge.bridge.settings import BridgeSettings
    from edge_inspect.edge.configuration.file import read_settings

    settings = read_settings(arguments.config, BridgeSettings)
    if arguments.map:
        for number, name in enumerate(settings.stations):
            print(f"## {name.site}/{name.line}/{name.station}\n\n{document(number)}")
        return
    _start_log(arguments.verbose)
    run(settings)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Says what this box has for edge-inspect, what it lacks, and the command that brings it. Packages are not only "
        "looked up but imported. Exit status 0 where everything that every box needs is there, 1 where it is not."
    )
    add_json_option(parser)
    parser.set_defaults(handler=_doctor)


def _doctor(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.doctor import examine
    from edge_inspect.edge.errors import CheckFailed

    findings = examine()
    for finding in findings:
        say(str(finding))
    write_json(
        {each.what: {"found": each.found, "needed": each.needed, "detail": each.detail} for each in findings},
        arguments.json,
    )
    if missing := [finding.what for finding in findings if finding.needed and not finding.found]:
        raise CheckFailed(f"missing: {', '.join(missing)}; the lines above say what brings them")


def _add_selftest(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Runs the golden frames of a small bundle that ships with the program, in each precision, on every engine that "
        "this box has, and says which give the right maps. Needs neither camera nor broker. Exit status 0 where all "
        "do, 1 where one does not: bundles then run in a precision that does, which the service finds by itself."
    )
    add_json_option(parser)
    parser.set_defaults(handler=_selftest)


def _selftest(arguments: argparse.Namespace) -> None:
    from dataclasses import asdict

    from edge_inspect.edge.errors import CheckFailed
    from edge_inspect.edge.selftest import try_all

    trials = []
    for trial in try_all():
        trials.append(trial)
        say(str(trial))
    write_json({"trials": [asdict(trial) for trial in trials]}, arguments.json)
    good = ", ".join(f"{trial.precision} on {trial.engine}" for trial in trials if trial.ok)
    if failed := ", ".join(f"{trial.precision} on {trial.engine}" for trial in trials if not trial.ok):
        raise CheckFailed(f"this box gives wrong maps, or none, in {failed}; it can run {good or 'nothing'}")
    say(f"this box can run {good}")


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Renders a production line, trains on its good parts, calibrates an INT8 bundle, starts a broker on loopback, "
        "runs the service over a stream of parts, and shows each verdict as it arrives at a subscriber. Nothing is "
        "downloaded. Needs the extras [train] and [demo]."
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/demo"), metavar="DIR", help="default out/demo; emptied first"
    )
    parser.add_argument("--frames", type=int, default=120, metavar="N", help="parts in the stream (default 120)")
    parser.add_argument("--steps", type=int, default=120, metavar="N", help="steps of the training (default 120)")
    parser.set_defaults(handler=_demo)


def _demo(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.demo.chain import run_demo

    run_demo(arguments.out, arguments.frames, arguments.steps)


if __name__ == "__main__":
    sys.exit(main())
