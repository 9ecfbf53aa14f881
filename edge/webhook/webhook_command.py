"""`edge-inspect webhook`: its options, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of `webhook` to its parser."""
    parser.description = (
        "Subscribes to stations over MQTT and posts their verdicts or defects to web servers, as JSON or by a "
        "template, signed, in order, and again until a server has taken them. Messages wait in an outbox on disk "
        "meanwhile. "
        "docs/webhook.md says what a server has to do. Ends on SIGTERM or Ctrl-C."
    )
    parser.epilog = (
        "Example of a configuration: {stations: [plant1/+/+], targets: [{name: mes, url: 'https://mes.example/parts', "
        "secret_file: mes-secret}]}. Check it with: edge-inspect check --webhook --config FILE"
    )
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="configuration file of the webhook (YAML)"
    )
    parser.add_argument("--verbose", action="store_true", help="log at level DEBUG")
    parser.set_defaults(handler=_post)


def _post(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.configuration.file import read_settings
    from edge_inspect.edge.long_running import end_with_threads, start_log
    from edge_inspect.edge.webhook.service import run
    from edge_inspect.edge.webhook.settings import WebhookSettings

    settings = read_settings(arguments.config, WebhookSettings)
    start_log(verbose=arguments.verbose)
    run(settings)
    end_with_threads()
