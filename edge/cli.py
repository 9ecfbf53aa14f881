"""The command `edge-inspect`: the service on the box, and the tools around it."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from edge import __version__
from edge.command import add_json_option, run_command, say, write_json
from edge.messages import Precision
from edge.request_options import add_options, send

PRECISIONS: tuple[Precision, ...] = ("int8", "fp16", "fp32")
ENGINES = ("openvino", "tensorrt")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `edge-inspect`; returns the exit status."""
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
    _add_demo(commands.add_parser("demo", help="the whole chain on a rendered production line"))
    return run_command(parser, argv)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Inspects every frame of every station in the configuration and publishes the verdicts over MQTT. A broker "
        "that is away is no error: verdicts wait in the outbox. Ends on SIGTERM or Ctrl-C after the part in hand, or "
        "when every source has ended. SIGHUP reads the configuration again. Exit status 75: something hung that could "
        "not be helped from inside."
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration, YAML")
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(handler=_run)


def _run(arguments: argparse.Namespace) -> None:
    import logging

    from edge.configuration import load_settings
    from edge.service import run

    _start_log(arguments.verbose)
    run(load_settings(arguments.config), lambda: load_settings(arguments.config))
    if any(thread.daemon for thread in threading.enumerate()):
        # One that is in native code yet, as where an engine is being built, aborts the process when Python ends.
        logging.shutdown()
        os._exit(0)


def _start_log(verbose: bool) -> None:
    import logging

    from edge.log_limit import LogLimit
    from edge.systemd import log_handler

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
        "its cameras, triggers, folders and files, without starting anything. Lists every mistake with its key. Exit "
        "status 2 if there is one."
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration, YAML")
    parser.set_defaults(handler=_check)


def _check(arguments: argparse.Namespace) -> None:
    from edge.configuration import check_settings, load_settings, trusted_keys

    settings = load_settings(arguments.config)
    unseen = check_settings(arguments.config, settings)
    broker = f"{settings.mqtt.host}:{settings.mqtt.port}"
    say(f"{arguments.config}: good; {len(settings.stations)} station(s), broker {broker}")
    for one in unseen:
        say(one)
    keys = ", ".join(key.id for key in trusted_keys(settings))
    say(f"bundles are signed with {keys}" if keys else "bundles need no signature; bundles.public_keys asks for one")


def _add_image(parser: argparse.ArgumentParser) -> None:
    parser.description = "Inspects image files with a bundle: one line a file on standard output, accept or reject."
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="images, or folders of them")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: what the bundle prefers")
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="write each image with its map and regions there")
    add_json_option(parser)
    parser.set_defaults(handler=_image)


def _image(arguments: argparse.Namespace) -> None:
    from edge.inspection import inspect_files

    results = inspect_files(arguments.bundle, arguments.paths, arguments.precision, arguments.overlay)
    found = []
    for result in results:
        found.append(result)
        if str(arguments.json) != "-":
            verdict = "accept" if result["ok"] else "reject"
            print(f"{verdict}  {result['score']:.4f}  {result['path']}", flush=True)
    write_json({"images": found}, arguments.json)


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
    from edge.errors import UsageError
    from edge.evidence.review import review

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
    parser.add_argument("--engine", choices=ENGINES, help="default: tensorrt where it can run here, else openvino")
    parser.add_argument("--frames", type=int, default=200, metavar="N", help="frames to time (default 200)")
    parser.add_argument("--size", default="640x480", metavar="WxH", help="size of the frames (default 640x480)")
    add_json_option(parser)
    parser.set_defaults(handler=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    from edge.bench import bench
    from edge.errors import UsageError
    from edge.fit import parse_size

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
        "registers over Modbus TCP; docs/bridge.md has the map. Needs the extra [bridge]. Ends on SIGTERM or Ctrl-C."
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the bridge's configuration, YAML")
    parser.add_argument("--map", action="store_true", help="print the registers of its stations, and end")
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(handler=_bridge)


def _bridge(arguments: argparse.Namespace) -> None:
    from edge.bridge.registers import document
    from edge.bridge.settings import BridgeSettings
    from edge.configuration import read_settings
    from edge.errors import UsageError

    settings = read_settings(arguments.config, BridgeSettings)
    if arguments.map:
        for number, name in enumerate(settings.stations):
            print(f"## {name.site}/{name.line}/{name.station}\n\n{document(number)}")
        return
    try:
        from edge.bridge.service import run
    except ModuleNotFoundError as error:
        if error.name != "pymodbus":
            raise
        raise UsageError("the bridge needs pymodbus: pip install 'edge-inspect[bridge]'") from error
    _start_log(arguments.verbose)
    run(settings)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.description = "Says what this box has for edge-inspect, what it lacks, and the command that brings it."
    add_json_option(parser)
    parser.set_defaults(handler=_doctor)


def _doctor(arguments: argparse.Namespace) -> None:
    from edge.doctor import examine

    findings = examine()
    for finding in findings:
        say(f"{'ok     ' if finding.found else 'missing'}  {finding.what:12} {finding.detail}")
    write_json(
        {finding.what: {"found": finding.found, "detail": finding.detail} for finding in findings}, arguments.json
    )


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
    parser.set_defaults(handler=_demo)


def _demo(arguments: argparse.Namespace) -> None:
    from edge.demo.chain import run_demo

    run_demo(arguments.out, arguments.frames)


if __name__ == "__main__":
    sys.exit(main())
