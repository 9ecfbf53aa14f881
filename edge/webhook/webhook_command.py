"""`edge-inspect webhook`: its options, and what it runs."""

from __future__ import annotations

import argparse

from edge_inspect.edge.program import add_config_option


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of `webhook` to its parser."""
    parser.description = (
        "Subscribes to stations over MQTT and posts their verdicts or defects to web servers, as JSON or by a "
        "template, signed, in order, and again until a server has taken them. Messages wait in an outbox on disk "
        "meanwhile. docs/webhook.md says what a server has to do. Ends on SIGTERM or Ctrl-C."
    )
    parser.epilog = (
        "Example of a configuration: {stations: [plant1/+/+], targets: [{name: mes, url: 'https://mes.example/parts', "
        "secret_file: mes-secret}]}. Check it with: edge-inspect check --webhook --config FILE"
    )
    add_config_option(parser, "webhook")
    parser.add_argument("--verbose", action="store_true", help="log at level DEBUG")
    parser.set_defaults(handler=_post)


def _post(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.long_running import run_program
    from edge_inspect.edge.webhook.service import run
    from edge_inspect.edge.webhook.settings import WebhookSettings

    run_program(arguments, WebhookSettings, run)
