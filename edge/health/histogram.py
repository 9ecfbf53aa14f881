"""A cumulative histogram in the form of Prometheus: the number of values up to each bound, and their sum."""

from __future__ import annotations

import bisect
from typing import NamedTuple

LATENCY_BOUNDS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Bounds in seconds, from the fastest engine on a GPU to a frame that waited behind many others."""


class Buckets(NamedTuple):
    """A histogram at one moment.

    Attributes:
        counts: Each bound with the number of values up to it, smallest bound first; the last one counts all values.
        sum: Sum of all values.
    """

    counts: tuple[tuple[float, int], ...]
    sum: float


class Histogram:
    """Counts values by bounds. Not safe between threads.

    Args:
        bounds: The bounds in rising order; infinity is added.
    """

    def __init__(self, bounds: tuple[float, ...] = LATENCY_BOUNDS_S) -> None:
        self._bounds = (*bounds, float("inf"))
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self._sum += value

    def buckets(self) -> Buckets:
        """Return the counts so far."""
        total = 0
        counts = []
        for bound, count in zip(self._bounds, self._counts, strict=True):
            total += count
            counts.append((bound, total))
        return Buckets(tuple(counts), self._sum)
