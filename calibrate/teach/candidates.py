"""Positions of labelled good parts that a memory does not explain yet, from which new prototypes are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.engines.memory_probe import Observation

Floats = NDArray[np.float32]

MOST = 40_000
"""Most positions from which prototypes are chosen, as in training: 50 MB for both banks with EfficientNet-Lite0."""
USUAL = 0.5
"""Quantile of the distances of explained positions. A position this near to a prototype needs none of its own."""


class Candidates(NamedTuple):
    """Unexplained positions of labelled good parts.

    Attributes:
        part: Number of the part that each belongs to, (N,).
        place: Number of its position in that part, (N,).
        directions: Unit vectors of each bank, (N, C) each.
        distances: Distances from the nearest prototype of each bank, (N,) each.
        usual: Distance that explained positions usually have, for each bank.
        means: Mean direction of each bank on all these parts, (C,) each.
    """

    part: NDArray[np.intp]
    place: NDArray[np.intp]
    directions: list[Floats]
    distances: list[Floats]
    usual: list[float]
    means: list[Floats]


class Collector:
    """Collects candidates from one observation after another; memory stays bounded.

    Args:
        parts: Number of parts that will come.
        level: Map value above which a position counts as unexplained.
    """

    def __init__(self, parts: int, level: float) -> None:
        self._each, self._level = max(16, MOST // max(1, parts)), level
        self._rng = np.random.default_rng(0)
        self._part: list[NDArray[np.intp]] = []
        self._place: list[NDArray[np.intp]] = []
        self._directions: list[list[Floats]] = []
        self._distances: list[list[Floats]] = []
        self._explained: list[list[Floats]] = []
        self._means: list[list[Floats]] = []

    def add(self, part: int, seen: Observation) -> None:
        """Add the positions of a part; if many are unexplained, those with the largest map values."""
        odd = np.flatnonzero(seen.seen & (seen.values > self._level))
        odd = odd[np.argsort(-seen.values[odd], kind="stable")][: self._each]
        self._part.append(np.full(len(odd), part))
        self._place.append(odd)
        self._directions.append([vectors[odd] for vectors in seen.directions])
        self._distances.append([distances[odd] for distances in seen.distances])
        fine = np.flatnonzero(seen.seen & (seen.values <= self._level))
        fine = self._rng.permutation(fine)[:256]
        self._explained.append([distances[fine] for distances in seen.distances])
        self._means.append([vectors[seen.seen].mean(axis=0) for vectors in seen.directions])

    def candidates(self) -> Candidates:
        """Return what was collected from at least one part."""
        explained = _joined(self._explained)
        return Candidates(
            np.concatenate(self._part),
            np.concatenate(self._place),
            _joined(self._directions),
            _joined(self._distances),
            [float(np.quantile(each, USUAL)) if len(each) else 0.0 for each in explained],
            [np.mean(each, axis=0) for each in zip(*self._means, strict=True)],
        )


def choose(
    vectors: Floats, distances: Floats, members: NDArray[np.bool_], count: int, near: float
) -> list[NDArray[np.intp]]:
    """Return indices of new prototypes for each of several subsets of vectors, by greedy k-centre (Gonzalez 1985).

    Each one is the vector farthest from the prototypes that there are and from those chosen before it. Choosing ends
    early when no vector is farther than `near`.

    Args:
        vectors: Unit vectors, (N, C).
        distances: Distance of each from the nearest prototype of the present memory, (N,).
        members: Whether each vector is in each subset, (S, N).
        count: Most prototypes for each subset.
        near: Distance of a vector that needs no prototype of its own.
    """
    chosen: list[list[int]] = [[] for _ in members]
    if vectors.size:
        nearest = np.where(members, distances, -1).astype(np.float32)
        for _ in range(count):
            last = nearest.argmax(axis=1)
            far = nearest[np.arange(len(last)), last] > near
            if not far.any():
                break
            for subset in np.flatnonzero(far):
                chosen[subset].append(int(last[subset]))
            nearest[far] = np.minimum(nearest[far], 1 - vectors[last[far]] @ vectors.T)
    return [np.array(each, np.intp) for each in chosen]


def _joined(parts: Sequence[Sequence[Floats]]) -> list[Floats]:
    """Return the arrays of each bank, joined over parts."""
    return [np.concatenate(each) for each in zip(*parts, strict=True)]
