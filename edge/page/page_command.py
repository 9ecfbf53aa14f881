"""`edge-inspect page`: its options, and what it runs."""

from __future__ import annotations

import argparse

from edge_inspect.edge.program import add_config_option


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of `page` to its parser."""
    parser.description = (
        "Serves a page that shows stations live in browsers: the last parts with their pictures, the counters of the "
        "shift, health and alarms. People label parts on it, send commands to stations, and teach bundles, as their "
        "role allows. Follows any number of stations over MQTT, in a process of its own. Needs the extra [page]; "
        "docs/page.md says how to set it up. Ends on SIGTERM or Ctrl-C."
    )
    parser.epilog = (
        "With the broker and the browser on this computer, an empty mapping ({}) is a configuration: the page then "
        "listens on http://127.0.0.1:8460 and keeps its files in /var/lib/edge-inspect-page."
    )
    add_config_option(parser, "page")
    parser.add_argument("--verbose", action="store_true", help="log at level DEBUG")
    parser.set_defaults(handler=_serve)


def _serve(arguments: argparse.Namespace) -> None:
    # These may not be installed; `run_command` then says what is missing.
    from edge_inspect.edge.long_running import run_program
    from edge_inspect.edge.page.service import run
    from edge_inspect.edge.page.settings import PageSettings

    run_program(arguments, PageSettings, run)
