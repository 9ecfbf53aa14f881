"""The waves of a roll-out: a few stations first, then a share of all, then the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict


class Wave(BaseModel):
    """Stations that are changed together."""

    model_config = ConfigDict(frozen=True)

    name: str
    stations: tuple[str, ...]


def plan_waves(stations: Sequence[str], canary: int, share: float) -> tuple[Wave, ...]:
    """Return the waves; one that has no stations is left out.

    Args:
        stations: The stations, in the order in which they are changed.
        canary: Number of stations in the first wave.
        share: Share of all stations in the second wave, 0 to 1.
    """
    second = canary + math.ceil(share * len(stations))
    parts = {"canary": stations[:canary], "share": stations[canary:second], "rest": stations[second:]}
    return tuple(Wave(name=name, stations=tuple(part)) for name, part in parts.items() if part)
