"""Sinks deliver a station's messages. The configuration's `sink` names one; each is a module and a line in `SINKS`.

mqtt    the broker of the configuration's section `mqtt`, as JSON or as Sparkplug B (edge/mqtt/)

sink.py   the interface of a sink, and the function that opens one

The outbox hands its entries to one sink, and removes an entry when that sink has delivered it. So a station has only
one sink. Other receivers of the verdicts subscribe to the broker, as the bridge does.
"""

from __future__ import annotations

import importlib
from typing import Any

SINKS: dict[str, str] = {"mqtt": "edge_inspect.edge.mqtt.publisher:open_publisher"}
"""Name of each sink, and the function that opens it, as `module:function`; see `edge.sinks.sink.OpenSink`.

The modules are named and not imported, because a package that a sink needs may not be installed, and the configuration
must be checked all the same.
"""


def split_sink(text: str) -> tuple[str, str]:
    """Return the two parts of the configuration's `sink`, NAME:WHERE; the second one is empty if it is left out.

    Raises:
        ValueError: There is no sink of this name.
    """
    name, _, where = text.partition(":")
    if name not in SINKS:
        raise ValueError(f"there is no sink {name!r}; choose one of {', '.join(sorted(SINKS))}")
    return name, where


def load_sink(name: str) -> Any:
    """Return the function that opens a sink, see `edge.sinks.sink.OpenSink`.

    Raises:
        ImportError: A package that the sink needs is not installed.
    """
    module, _, function = SINKS[name].partition(":")
    return getattr(importlib.import_module(module), function)
