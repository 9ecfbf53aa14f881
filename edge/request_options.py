"""The options of `edge-inspect command`, and the command that they describe."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_inspect.edge.broker_options import add_broker_options, broker_settings

if TYPE_CHECKING:  # slow imports are inside the functions, so that `--help` is quick
    from edge_inspect.edge.configuration.settings import Settings
    from edge_inspect.edge.contract.commands import AnyCommand
    from edge_inspect.edge.contract.topics import Topics

_REPLY_S = 10.0
_FETCHED_REPLY_S = 660.0
"""Wait for the reply if the bundle may have to be fetched: as long as a station fetches by default, and a minute."""
_VERBS = {
    "trigger": "take a frame of a part now; the station's trigger must be `command`",
    "pause": "stop taking frames",
    "resume": "take frames again",
    "threshold": "use another threshold",
    "snapshot": "publish a picture of what the camera sees",
    "resend": "publish delivered verdicts and defects again",
    "bundle": "use another bundle",
    "recipe": "inspect another product: use the bundle of another recipe",
    "shadow": "inspect but reject nothing, and collect scores for a threshold",
    "report": "send a page of the log, or of the index of evidence",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand with its options for each command."""
    parser.description = (
        "Sends a command to a station over MQTT, with a new id, and prints the reply as JSON. The station carries out "
        "the commands that commands.allow names in its configuration. Exit status 0: the command was carried out; "
        "1: it was refused, or no reply came; 2: wrong options."
    )
    _add_shared(parser)
    parser.set_defaults(by="edge-inspect command", timeout=None)
    # Options may stand before or after the command. After it they have no defaults, so that they do not overwrite the
    # options before it.
    after = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    _add_shared(after)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND", dest="verb")
    made = {verb: verbs.add_parser(verb, help=help_, parents=[after]) for verb, help_ in _VERBS.items()}
    made["trigger"].add_argument("--part-id", metavar="ID", help="id of the part, which the verdict repeats")
    made["threshold"].add_argument(
        "value", metavar="VALUE", help="score above which parts are rejected; `bundle` restores the bundle's threshold"
    )
    made["resend"].add_argument(
        "from_sequence", type=int, metavar="FROM", help="sequence number of the first part to publish again"
    )
    made["resend"].add_argument(
        "to_sequence",
        type=int,
        nargs="?",
        metavar="TO",
        help="sequence number of the last part to publish again (default: the newest)",
    )
    bundle = made["bundle"].add_mutually_exclusive_group(required=True)
    bundle.add_argument("name", nargs="?", metavar="NAME", help="name of a folder or .zip below bundles.folder")
    bundle.add_argument("--back", action="store_true", help="go back to the previous bundle")
    made["bundle"].add_argument(
        "--digest",
        metavar="HEX",
        help="sha256 of the bundle's manifest, as calibrate show prints it; the station uses the bundle with this "
        "digest below bundles.folder, whatever its name",
    )
    made["bundle"].add_argument(
        "--url",
        metavar="URL",
        help="URL of the bundle's .zip; a station that has no bundle with the digest fetches it, if the URL lies under "
        "bundles.pull.prefixes of its configuration",
    )
    made["recipe"].add_argument("name", metavar="NAME", help="name of a recipe in the station's configuration")
    made["shadow"].add_argument(
        "parts", type=int, metavar="PARTS", help="number of parts to collect; 0 ends shadow: reject parts again"
    )
    made["report"].add_argument(
        "what", choices=("log", "evidence"), help="log of the service, or parts in its evidence"
    )
    made["report"].add_argument(
        "--after", metavar="CURSOR", help="`next` of the page before (default: begin with the oldest line or part)"
    )


def _add_shared(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("station")
    where.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration of the service, with its broker, site and line"
    )
    where.add_argument("--site", help="name of the site (default: from the configuration)")
    where.add_argument("--line", help="name of the line (default: from the configuration)")
    where.add_argument(
        "--station", metavar="NAME", help="name of the station (default: the only one in the configuration)"
    )
    add_broker_options(parser)
    parser.add_argument(
        "--by", metavar="NAME", help="name of the sender, for the station's records (default: edge-inspect command)"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        help=f"longest time to wait for the reply, in seconds (default: {_REPLY_S:g}; with --url {_FETCHED_REPLY_S:g})",
    )


def send(arguments: argparse.Namespace) -> None:
    """Send the command that the options describe and print the reply.

    Raises:
        UsageError: The options do not name a station, or an option is wrong.
        ConfigurationError: The configuration has a mistake.
        CheckFailed: The command was refused, or no reply came.
    """
    from edge_inspect.edge.configuration.file import load_settings
    from edge_inspect.edge.errors import CheckFailed, UsageError
    from edge_inspect.edge.program import write_json
    from edge_inspect.edge.requester import Requester

    usual = _FETCHED_REPLY_S if getattr(arguments, "url", None) else _REPLY_S
    timeout = usual if arguments.timeout is None else arguments.timeout
    if not 0 < timeout <= 3600:
        raise UsageError(f"--timeout {timeout:g}: give 0 to 3600 seconds")
    settings = load_settings(arguments.config) if arguments.config else None
    if settings is not None and settings.mqtt.encoding == "sparkplug_b":
        raise UsageError(
            f"{arguments.config}: its stations use Sparkplug B; let the Sparkplug host write the command to the metric "
            "Node Control/Command, see docs/sparkplug.md"
        )
    topics, command = _topics(arguments, settings), _command(arguments)
    broker = broker_settings(arguments, settings.mqtt if settings is not None else None)
    reply = Requester(broker, topics, command).ask(timeout)
    write_json(reply.model_dump(mode="json"), Path("-"))
    if not reply.done:
        raise CheckFailed(f"refused: {reply.refusal}: {reply.reason}")


def _topics(arguments: argparse.Namespace, settings: Settings | None) -> Topics:
    from edge_inspect.edge.contract.topics import Topics
    from edge_inspect.edge.errors import UsageError

    names = [] if settings is None else [station.name for station in settings.stations]
    site = arguments.site or (settings and settings.site)
    line = arguments.line or (settings and settings.line)
    station = arguments.station or (names[0] if len(names) == 1 else None)
    given = {"--site": site, "--line": line, "--station": station}
    if missing := [option for option, value in given.items() if not value]:
        there = f": {arguments.config} has {', '.join(names)}" if names else ", or --config with the configuration"
        raise UsageError(f"which station? give {', '.join(missing)}{there}")
    if names and station not in names and not (arguments.site or arguments.line):
        raise UsageError(
            f"--station {station}: {arguments.config} does not have this station; it has {', '.join(names)}"
        )
    try:
        return Topics(str(site), str(line), str(station))
    except ValueError as error:
        raise UsageError(f"--{error}") from error


def _command(arguments: argparse.Namespace) -> AnyCommand:
    from edge_inspect.edge.contract.commands import Refused, parse_command
    from edge_inspect.edge.contract.ids import uuid7_of_now
    from edge_inspect.edge.errors import UsageError

    fields: dict[str, Any] = {"command": arguments.verb, "id": uuid7_of_now(), "by": arguments.by}
    for name in ("part_id", "from_sequence", "to_sequence", "name", "parts", "what", "after"):
        if hasattr(arguments, name):
            fields[name] = getattr(arguments, name)
    for name in ("digest", "url"):  # stations of earlier releases know no such fields
        if getattr(arguments, name, None) is not None:
            fields[name] = getattr(arguments, name)
    if arguments.verb == "threshold":
        fields["value"] = None if arguments.value == "bundle" else _number(arguments.value)
    try:
        return parse_command(json.dumps(fields).encode())
    except Refused as refused:
        raise UsageError(str(refused)) from refused


def _number(text: str) -> float:
    from edge_inspect.edge.errors import UsageError

    try:
        return float(text)
    except ValueError:
        raise UsageError(f"threshold {text!r}: give a number, or `bundle` for the bundle's threshold") from None
