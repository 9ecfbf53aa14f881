"""The systems that can be trained: one file each, and this registry of them.

To add one: its network in `models/` (a `models.network.Network`), a file here that declares a `System`, its name in the
list below, and a test. The command line, the checkpoint, the bundle and the report read the registry.

system.py   what a system declares of itself
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
"""By name; the first is the default."""


def system_of(name: str) -> System:
    """Return a system by its name.

    Raises:
        UsageError: There is none of that name; the message names those there are.
    """
    if name not in SYSTEMS:
        raise UsageError(f"model {name!r} is unknown; there are {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
