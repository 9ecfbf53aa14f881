"""`edge-inspect opcua`: its options, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of `opcua` to its parser."""
    parser.description = (
        "Serves stations to OPC UA clients, such as an MES, a SCADA system or a PLC: their states, results, recipes, "
        "warnings and errors as the companion specification for machine vision (OPC 40100-1) has them. Methods such as "
        "StartContinuous, Stop and SelectRecipe become commands to the station. Follows any number of stations over "
        "MQTT, in a process of its own. Needs the extra [opcua]; docs/opcua.md says how to set it up. Ends on SIGTERM "
        "or Ctrl-C."
    )
    parser.epilog = (
        "With the broker and the client on this computer, an empty mapping ({}) is a configuration: the server then "
        "listens on opc.tcp://127.0.0.1:4840/edge-inspect, and users of the page log in with their passwords. Example: "
        "edge-inspect opcua --config opcua.yaml"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", type=Path, metavar="FILE", help="configuration file of the server (YAML)")
    what.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="write the types of this server's own namespace as a node set (UANodeSet XML), and end",
    )
    parser.add_argument("--verbose", action="store_true", help="log at level DEBUG")
    parser.set_defaults(handler=_serve)


def _serve(arguments: argparse.Namespace) -> None:
    # These may not be installed; `run_command` then says what is missing.
    if arguments.export is not None:
        from edge_inspect.edge.opcua.node_set import export

        export(arguments.export)
        return
    from edge_inspect.edge.long_running import run_program
    from edge_inspect.edge.opcua.service import run
    from edge_inspect.edge.opcua.settings import OpcuaSettings

    run_program(arguments, OpcuaSettings, run)
