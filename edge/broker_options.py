"""The options that say how a client reaches the broker: of `edge-inspect command` and `edge-inspect fleet`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # slow imports are inside the functions, so that `--help` is quick
    from edge_inspect.edge.configuration.mqtt_settings import MqttSettings


def add_broker_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser."""
    broker = parser.add_argument_group("broker (an option here overrides the configuration)")
    broker.add_argument("--host", help="name or address of the broker (default: localhost)")
    broker.add_argument("--port", type=int, help="TCP port of the broker (default: 1883; with TLS 8883)")
    broker.add_argument("--username", metavar="NAME", help="user name at the broker")
    broker.add_argument("--password-file", type=Path, metavar="FILE", help="file that contains the password")
    broker.add_argument("--tls", action="store_true", help="use TLS with the CAs of the system")
    broker.add_argument("--ca-file", type=Path, metavar="FILE", help="use TLS with this CA (PEM)")
    broker.add_argument("--certificate", type=Path, metavar="FILE", help="client certificate for mutual TLS (PEM)")
    broker.add_argument("--key", type=Path, metavar="FILE", help="private key of the client certificate (PEM)")


def broker_settings(arguments: argparse.Namespace, configured: MqttSettings | None) -> MqttSettings:
    """Return the settings of the connection: those of the configuration, with the options in their place.

    Args:
        arguments: The parsed options.
        configured: The section `mqtt` of a configuration; `None` if none is given.

    Raises:
        UsageError: An option is wrong.
    """
    from pydantic import ValidationError

    from edge_inspect.edge.configuration.mqtt_settings import MqttSettings
    from edge_inspect.edge.errors import UsageError

    fields = {} if configured is None else configured.model_dump(exclude_unset=True)
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
    """Return a sentence about one mistake in the broker's options; it begins with the option's name."""
    said = mistake["msg"].removeprefix("Value error, ")
    option = "--" + str(mistake["loc"][-1]).replace("_", "-") if mistake["loc"] else "broker"
    return f"{option}: {said[0].lower()}{said[1:]}"
