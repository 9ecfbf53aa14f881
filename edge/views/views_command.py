"""`edge-inspect views`: its options, and what it runs."""

from __future__ import annotations

import argparse

from edge_inspect.edge.program import add_config_option


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of `views` to its parser."""
    parser.description = (
        "Makes one verdict of the verdicts of several stations that see the same part, and publishes it as a station "
        "of its own. The views of a part are found by part id, or by the time of the trigger. A rule says which views "
        "reject a part; a part whose view is missing or late is rejected. Asks the stations to resend missing "
        "verdicts. docs/views.md explains all of it. Ends on SIGTERM or Ctrl-C."
    )
    parser.epilog = (
        "Example of a configuration: {site: plant1, line: line1, station: joint, views: [{name: left, station: "
        "station1}, {name: right, station: station2}]}. Check it with: edge-inspect check --views --config FILE"
    )
    add_config_option(parser, "joiner")
    parser.add_argument("--verbose", action="store_true", help="log at level DEBUG")
    parser.set_defaults(handler=_join)


def _join(arguments: argparse.Namespace) -> None:
    from edge_inspect.edge.long_running import run_program
    from edge_inspect.edge.views.service import run
    from edge_inspect.edge.views.settings import ViewsSettings

    run_program(arguments, ViewsSettings, run)
