"""The command `edge-inspect`: the service on the box, and the tools around it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_inspect.edge import __version__
from edge_inspect.edge.archive.archive_command import add_options as add_archive_options
from edge_inspect.edge.cameras.registry import CAMERAS
from edge_inspect.edge.demo.demo_options import add_demo_options
from edge_inspect.edge.engines.registry import DEFAULT, ENGINES
from edge_inspect.edge.fleet.fleet_command import add_options as add_fleet_options
from edge_inspect.edge.opcua.opcua_command import add_options as add_opcua_options
from edge_inspect.edge.page.page_command import add_options as add_page_options
from edge_inspect.edge.page.user_command import add_options as add_user_options
from edge_inspect.edge.program import add_config_option, add_json_option, run_command, say, write_json
from edge_inspect.edge.request_options import add_options, send
from edge_inspect.edge.triggers import TRIGGERS
from edge_inspect.edge.views.views_command import add_options as add_views_options
from edge_inspect.edge.webhook.webhook_command import add_options as add_webhook_options

# Nothing here imports what may not be installed before a handler runs: run_command says what is missing.
if TYPE_CHECKING:
    from edge_inspect.edge.contract.fields import Precision

PRECISIONS: tuple[Precision, ...] = ("int8", "bf16", "fp16", "fp32")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `edge-inspect`; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="edge-inspect",
        description="Inspects the parts on a production line with cameras, and publishes the verdicts over MQTT.",
        epilog="To try it without a camera, a broker or pictures of your own: edge-inspect demo",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="run the inspection service"))
    _add_check(commands.add_parser("check", help="check a configuration and list its mistakes"))
    _add_image(commands.add_parser("image", help="inspect image files"))
    _add_review(commands.add_parser("review", help="draw a contact sheet of saved evidence"))
    _add_bench(commands.add_parser("bench", help="measure how fast a bundle runs on this box"))
    _add_command(commands.add_parser("command", help="send a command to a station and print its reply"))
    add_fleet_options(commands.add_parser("fleet", help="list many stations, change their bundles, fetch logs"))
    _add_bridge(commands.add_parser("bridge", help="serve the verdicts to a PLC over Modbus TCP"))
    add_opcua_options(commands.add_parser("opcua", help="serve stations to OPC UA clients, as OPC 40100-1 has them"))
    add_views_options(commands.add_parser("views", help="make one verdict of several stations that see the same part"))
    add_webhook_options(commands.add_parser("webhook", help="post verdicts or defects to web servers"))
    add_page_options(commands.add_parser("page", help="serve a page that shows stations live in browsers"))
    add_archive_options(
        commands.add_parser("archive", help="store everything in PostgreSQL or SQLite; check, export, report")
    )
    add_user_options(commands.add_parser("page-user", help="add, change, list and remove the users of the page"))
    _add_doctor(commands.add_parser("doctor", help="list what is installed on this box and what is missing"))
    _add_selftest(commands.add_parser("selftest", help="test which precisions this box computes correctly"))
    add_demo_options(commands.add_parser("demo", help="run the whole chain on a rendered production line"))
    return run_command(parser, argv)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Inspects the parts of every station in the configuration and publishes the verdicts over MQTT. If the broker "
        "cannot be reached, verdicts wait in the outbox. On SIGTERM or Ctrl-C the service finishes the current part "
        "and ends; it also ends when every camera has run out of frames. SIGHUP makes it read the configuration again. "
        "Exit status 75: a camera, an engine or the disk hung, and reopening did not help."
    )
    parser.epilog = _known_kinds()
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration file (YAML)")
    parser.add_argument("--verbose", action="store_true", help="log at level DEBUG")
    parser.set_defaults(handler=_run)


def _known_kinds() -> str:
    """Return the cameras, triggers and engines that a configuration can name."""
    cameras = ", ".join(f"{kind.scheme}: ({kind.about})" for kind in CAMERAS.values())
    triggers = ", ".join(kind.form for kind in TRIGGERS)
    engines = ", ".join(f"{kind.name} ({kind.runs_on})" for kind in ENGINES.values())
    return f"Cameras: {cameras}. Triggers: {triggers}. Engines: {engines}. Options and examples: docs/cameras.md."


def _run(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.configuration.file import load_settings
    from edge_inspect.edge.long_running import end_with_threads, start_log
    from edge_inspect.edge.memory import use_few_arenas
    from edge_inspect.edge.service import run

    use_few_arenas()
    start_log(verbose=arguments.verbose)
    run(load_settings(arguments.config), lambda: load_settings(arguments.config))
    end_with_threads()


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Checks a configuration without starting anything. Opens its bundles, checks their signatures if public keys "
        "are configured, and looks for its cameras, triggers, folders and files. Loads certificates, keys and "
        "passwords as the service would, and the packages of an extra that is needed. Lists mistakes with their keys: "
        "first all in the keys and values of the file, then all in what they name; correct them and check again. Exit "
        "status 2 if there is a mistake."
    )
    parser.epilog = _known_kinds()
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration file (YAML)")
    program = parser.add_mutually_exclusive_group()
    parser.set_defaults(program="run")
    for name in ("bridge", "opcua", "views", "webhook", "page", "archive"):
        program.add_argument(
            f"--{name}",
            action="store_const",
            dest="program",
            const=name,
            help=f"FILE is a configuration of `edge-inspect {name}` (default: of `edge-inspect run`)",
        )
    parser.add_argument(
        "--connect",
        action="store_true",
        help="also connect to the broker, show what it announces, and test the topics that are needed; uses a client "
        "id of its own, so running stations are not disturbed; connects to the servers of bundles.pull too; exit "
        "status 1 if the broker refuses anything or a server cannot be reached",
    )
    parser.set_defaults(handler=_check)


def _check(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.check import check

    for line in check(arguments.config, arguments.program, connect=arguments.connect):
        say(line)


def _add_image(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Inspects image files with a bundle. Prints one line per file to standard output: accept or reject, the score "
        "(or how the part was not found), the path. A file that cannot be read is reported on standard error; the "
        "other files are still inspected, and the exit status is 2."
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle (folder or .zip)")
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="image files, or folders of images")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: the precision that the bundle prefers")
    parser.add_argument(
        "--overlay",
        type=Path,
        metavar="DIR",
        help="write each image with its anomaly map and defect regions to DIR/STEM.png",
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
            figure = result["not_found"] or f"{result['score']:.4f}"
            print(f"{verdict}  {figure}  {result['path']}", flush=True)
    write_json({"images": found}, arguments.json)
    if unread:
        raise ImageError(f"{len(unread)} of {len(found)} images could not be read; the reasons are above")


def _add_review(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Draws a contact sheet of the evidence that the service has saved: rejected and borderline parts, newest "
        "first, each beside its anomaly map. Prints one line per part to standard output, in the order of the sheet, "
        "with the path of its picture."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the evidence (evidence.folder)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="file for the sheet (default DIR/review.jpg)")
    parser.add_argument("--only", choices=("rejects", "borderline"), help="show only these parts (default: both kinds)")
    parser.add_argument("--newest", type=int, default=90, metavar="N", help="largest number of parts (default 90)")
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
            verdict = "accept" if part["ok"] else "reject"
            print(f"#{i}  {verdict}  {part['not_found'] or format(part['score'], '.4f')}  {part['path']}")
    write_json({"evidence": listed}, arguments.json)
    say(f"contact sheet: {sheet}")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measures how fast a bundle runs on this box: what the engine has compiled alone (from its input to its "
        "output), and the whole way from a frame in memory to the verdict with its regions. Without --precision, the "
        "precisions that the bundle allows are timed first, and the one that the service would choose on this box is "
        "measured. With --profile also each step: decoding, fit, engine by kind of layer, head, regions, message and "
        "outbox."
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle (folder or .zip)")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="default: with openvino the fastest on this box, else the one that the bundle prefers",
    )
    parser.add_argument("--engine", choices=ENGINES, help=f"default: {DEFAULT}")
    parser.add_argument("--frames", type=int, default=200, metavar="N", help="number of frames to time (default 200)")
    parser.add_argument(
        "--size", default="640x480", metavar="WxH", help="size of the frames in pixels (default 640x480)"
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="time each step too, on the bundle's golden frames brought to --size, with every part rejected",
    )
    add_json_option(parser)
    parser.set_defaults(handler=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.bench import bench
    from edge_inspect.edge.errors import UsageError
    from edge_inspect.edge.frame.fit import parse_size

    size = parse_size(arguments.size)
    if arguments.frames < 1 or min(size) < 1:
        raise UsageError(f"--frames {arguments.frames} and --size {arguments.size} must be at least 1")
    result = bench(
        arguments.bundle, arguments.precision, arguments.frames, size, arguments.engine, profiled=arguments.profile
    )
    for name, value in result.items():
        if name == "steps_ms":
            for step, ms in value.items():
                say(f"{f'step {step}, ms':32} {'unknown' if ms is None else ms}")
        elif name == "layers":
            for layer in value:
                say(f"{layer['part'] + ': ' + layer['kind']:32} {layer['ms']} ms in {layer['layers']} layer(s)")
        else:
            say(f"{name:24} {value}")
    write_json(result, arguments.json)


def _add_command(parser: argparse.ArgumentParser) -> None:
    add_options(parser)
    parser.set_defaults(handler=send)


def _add_bridge(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Subscribes to the verdicts of stations over MQTT and serves them to a PLC as Modbus TCP registers. Asks the "
        "stations to resend missing verdicts. docs/bridge.md lists the registers. Ends on SIGTERM or Ctrl-C."
    )
    add_config_option(parser, "bridge")
    parser.add_argument("--map", action="store_true", help="print the register map of the configured stations and end")
    parser.add_argument("--verbose", action="store_true", help="log at level DEBUG")
    parser.set_defaults(handler=_bridge)


def _bridge(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.bridge.registers import document
    from edge_inspect.edge.bridge.service import run
    from edge_inspect.edge.bridge.settings import BridgeSettings
    from edge_inspect.edge.configuration.file import read_settings
    from edge_inspect.edge.long_running import start_log

    settings = read_settings(arguments.config, BridgeSettings)
    if arguments.map:
        for number, name in enumerate(settings.stations):
            print(f"## {name.site}/{name.line}/{name.station}\n\n{document(number)}")
        return
    start_log(verbose=arguments.verbose)
    run(settings)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Lists what edge-inspect needs or can use: what is installed on this box, what is missing, and the command "
        "that installs it. Python packages are imported as a test. If the service has run, also lists the precisions "
        "that it has chosen on this box, with the reason; the record of these is looked for beside the default outbox. "
        "Exit status 0 if every required item works, else 1."
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
        raise CheckFailed(f"missing: {', '.join(missing)}; the lines above say how to install each")


def _add_selftest(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Tests which precisions this box computes correctly. Runs a small built-in bundle in each precision on every "
        "engine of this box, and compares the anomaly maps with the expected ones. Needs no camera and no broker. "
        "Exit status 0 if all maps are right, 1 if some are wrong; the service avoids the wrong precisions by itself."
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
        raise CheckFailed(f"this box computes no maps, or wrong ones, in {failed}; it can run {good or 'nothing'}")
    say(f"this box can run {good}")


if __name__ == "__main__":
    sys.exit(main())
