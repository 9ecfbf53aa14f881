"""Sinks: where a station's messages go. The configuration's `sink` names one; each is one module and a line in `SINKS`.

mqtt    the broker of the configuration's section `mqtt`, as JSON or as Sparkplug B (edge/mqtt/)

sink.py   what every sink does, and how one is opened

The outbox hands its entries to one sink, and an entry leaves it when that sink has delivered it. So there is one sink
at a time. Whoever wants the verdicts beside it subscribes to the broker, as the bridge does.
"""

from __future__ import annotations

import importlib
from typing import Any

SINKS: dict[str, str] = {"mqtt": "edge_inspect.edge.mqtt.publisher:open_publisher"}
"""Names of the sinks, and of each the function that opens it, as `module:function`; see `edge.sinks.sink.OpenSink`.

Modules are named here and not imported: the configuration is checked without them, and what a sink needs may not be
installed.
"""


def split_sink(text: str) -> tuple[str, str]:
    """Return the name of a sink, and what the configuration says behind it after a colon; empty where there is none.

    Raises:
        ValueError: There is no such sink.
    """
    name, _, where = text.partition(":")
    if name not in SINKS:
        raise ValueError(f"there is no sink {name!r}; there are {', '.join(sorted(SINKS))}")
    return name, where


def load_sink(name: str) -> Any:
    """Return the function that opens a sink, see `edge.sinks.sink.OpenSink`.

    Raises:
        ImportError: What the sink needs is not installed.
    """
    module, _, function = SINKS[name].partition(":")
    return getattr(importlib.import_module(module), function)
