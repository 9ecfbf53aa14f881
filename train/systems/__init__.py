"""The systems that can be trained: one file each, and this registry of them.

To add one, put its network (a `models.network.Network`) into `models/`, declare a `System` in a file here, add its name
to the list below, and write a test. The command line, the checkpoint, the bundle and the report read this registry.

system.py   the declaration of a system
rd.py       RD4AD
memory.py   a memory alone
aand.py     AAND
dmdd.py     DMDD
"""

from __future__ import annotations

from edge_inspect.edge.errors import UsageError
from edge_inspect.train.systems import aand, dmdd, memory, rd
from edge_inspect.train.systems.system import Option, System

__all__ = ["SYSTEMS", "Option", "System", "system_of"]

SYSTEMS: dict[str, System] = {system.name: system for system in (rd.SYSTEM, memory.SYSTEM, aand.SYSTEM, dmdd.SYSTEM)}
"""All systems by name, in the order of `edge-train fit --help`."""


def system_of(name: str) -> System:
    """Return a system by its name.

    Raises:
        UsageError: No system has that name; the message lists those that exist.
    """
    if name not in SYSTEMS:
        raise UsageError(f"model {name!r} is unknown; there are {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
