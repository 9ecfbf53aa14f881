"""The options of `edge-inspect command`, and the command that they describe."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what is heavy is imported where the command runs
    from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
    from edge_inspect.edge.configuration.settings import Settings
    from edge_inspect.edge.contract.commands import AnyCommand
    from edge_inspect.edge.contract.topics import Topics

_VERBS = {
    "trigger": "inspect the part under the camera now (needs the station's setting trigger: command)",
    "pause": "stop taking frames",
    "resume": "take frames again after a pause",
    "threshold": "use another threshold",
    "snapshot": "publish a picture of what the camera sees",
    "resend": "publish verdicts and defects again that were delivered before",
    "bundle": "inspect with another bundle",
    "shadow": "inspect without rejecting anything, and collect scores for a new threshold",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand for each command, with what it needs."""
    parser.description = (
        "Sends a command to a station over MQTT and prints the reply as JSON. The station only carries out the "
        "commands that commands.allow lists in its configuration. Exit status 0: done; 1: refused, or no reply; 2: "
        "wrong use."
    )
    _add_shared(parser)
    parser.set_defaults(by="edge-inspect command", timeout=10.0)
    # Options may stand before the command or behind it; behind it, only those that are given count.
    behind = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    _add_shared(behind)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND", dest="verb")
    made = {verb: verbs.add_parser(verb, help=help_, parents=[behind]) for verb, help_ in _VERBS.items()}
    made["trigger"].add_argument("--part-id", metavar="ID", help="id of the part, repeated in its verdict")
    made["threshold"].add_argument(
        "value",
        metavar="VALUE",
        help="parts with a higher score are rejected; `bundle` restores the threshold of the bundle",
    )
    made["resend"].add_argument("from_sequence", type=int, metavar="FROM", help="sequence number of the first part")
    made["resend"].add_argument(
        "to_sequence",
        type=int,
        nargs="?",
        metavar="TO",
        help="sequence number of the last part (default: the newest part)",
    )
    bundle = made["bundle"].add_mutually_exclusive_group(required=True)
    bundle.add_argument("name", nargs="?", metavar="NAME", help="bundle (folder or .zip) below bundles.folder")
    bundle.add_argument("--back", action="store_true", help="go back to the bundle before")
    made["shadow"].add_argument(
        "parts", type=int, metavar="PARTS", help="number of parts to collect; 0 ends the shadow and rejects again"
    )


def _add_shared(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("station")
    where.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration file of the service; names broker, site, line and stations",
    )
    where.add_argument("--site", help="name of the site (default: from the configuration)")
    where.add_argument("--line", help="name of the line (default: from the configuration)")
    where.add_argument(
        "--station", metavar="NAME", help="name of the station (default: the only station of the configuration)"
    )
    broker = parser.add_argument_group("broker (these options override the configuration)")
    broker.add_argument("--host", help="name or address of the broker (default: localhost)")
    broker.add_argument("--port", type=int, help="port of the broker (default: 1883, or 8883 with TLS)")
    broker.add_argument("--username", metavar="NAME", help="user name for the broker")
    broker.add_argument("--password-file", type=Path, metavar="FILE", help="file with the password of that user")
    broker.add_argument("--tls", action="store_true", help="use TLS, and trust the CAs of this computer")
    broker.add_argument("--ca-file", type=Path, metavar="FILE", help="use TLS, and trust the CA in this PEM file")
    broker.add_argument("--certificate", type=Path, metavar="FILE", help="PEM file of the client certificate")
    broker.add_argument("--key", type=Path, metavar="FILE", help="PEM file of the client certificate's private key")
    parser.add_argument(
        "--by", metavar="NAME", help="name of the sender, recorded by the station (default: edge-inspect command)"
    )
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds to wait for the reply (default 10)")


def send(arguments: argparse.Namespace) -> None:
    """Send the command that the options describe and print the reply.

    Raises:
        UsageError: The options do not say which station, or say it wrong.
        ConfigurationError: The configuration is wrong.
        CheckFailed: The command was refused, or there is no reply.
    """
    from edge_inspect.edge.configuration.file import load_settings
    from edge_inspect.edge.errors import CheckFailed, UsageError
    from edge_inspect.edge.program import write_json
    from edge_inspect.edge.requester import Requester

    if not 0 < arguments.timeout <= 3600:
        raise UsageError(f"--timeout {arguments.timeout:g}: give 0 to 3600 seconds")
    settings = load_settings(arguments.config) if arguments.config else None
    if settings is not None and settings.mqtt.encoding == "sparkplug_b":
        raise UsageError(
            f"{arguments.config}: its stations speak Sparkplug B: have the host write the command to "
            "Node Control/Command, see docs/sparkplug.md"
        )
    topics, command, broker = _topics(arguments, settings), _command(arguments), _broker(arguments, settings)
    reply = Requester(broker, topics, command).ask(arguments.timeout)
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
        raise UsageError(f"--station {station}: {arguments.config} has {', '.join(names)}")
    try:
        return Topics(str(site), str(line), str(station))
    except ValueError as error:
        raise UsageError(f"--{error}") from error


def _command(arguments: argparse.Namespace) -> AnyCommand:
    from edge_inspect.edge.contract.commands import Refused, parse_command
    from edge_inspect.edge.contract.ids import uuid7_of_now
    from edge_inspect.edge.errors import UsageError

    fields: dict[str, Any] = {"command": arguments.verb, "id": uuid7_of_now(), "by": arguments.by}
    for name in ("part_id", "from_sequence", "to_sequence", "name", "parts"):
        if hasattr(arguments, name):
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
        raise UsageError(f"threshold {text!r}: give a number, or `bundle` for the bundle's own") from None


def _broker(arguments: argparse.Namespace, settings: Settings | None) -> MqttSettings:
    from pydantic import ValidationError

    from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
    from edge_inspect.edge.errors import UsageError

    fields = {} if settings is None else settings.mqtt.model_dump(exclude_unset=True)
    for name in ("host", "port", "username", "password_file"):
        if getattr(arguments, name) is not None:
            fields[name] = getattr(arguments, name)
    files = {name: getattr(arguments, name) for name in ("ca_file", "certificate", "key")}
    given = {name: file for name, file in files.items() if file is not None}
    if given or arguments.tls:
        fields["tls"] = {**(fields.get("tls") or {}), **given}
    try:
        return MqttSettings(**fields)
    except ValidationError as error:
        raise UsageError("; ".join(_say(mistake) for mistake in error.errors())) from error


def _say(mistake: Any) -> str:
    """Return one mistake in the broker's options, by the option's name."""
    said = mistake["msg"].removeprefix("Value error, ")
    option = "--" + str(mistake["loc"][-1]).replace("_", "-") if mistake["loc"] else "broker"
    return f"{option}: {said[0].lower()}{said[1:]}"
