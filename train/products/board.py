"""The board on which tasks say how far they are. It is an actor of the cluster."""

from __future__ import annotations

from typing import Any, NamedTuple


class Standing(NamedTuple):
    """How far a product is.

    Attributes:
        state: The present step; before it `waiting`, afterwards the state of its record, or `failed`.
        left: Seconds that the step says are left; `None` if it says nothing.
        host: Name of the machine.
    """

    state: str
    left: float | None = None
    host: str = ""


class Board:
    """Keeps the standing of every product. Tasks write it, and the command reads it."""

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}

    def tell(self, name: str, standing: Standing) -> None:
        """Replace a product's standing."""
        self._standings[name] = standing

    def read(self) -> dict[str, Any]:
        """Return the standing of every product that has one."""
        return dict(self._standings)
