"""Keeps labelled defects visible: prototypes that would make the memory take one for good are left out.

A person labels a whole part, but only some positions of it show the defect, and the rest may look as unusual as on good
parts of the same lot. So a defect counts as *kept* as long as any of its positions stays clearly above a level: the
image threshold if the bundle finds the defect, and the pixel threshold if it does not. Clearly means by half of its
excess, or by a quarter of the distance between a usual good part's score and the threshold if that is less.

Where no position stays so, those that the grown memory finds the least usual are taken for the defect and protected: no
new prototype may come so near to them that they fall below that. Maps are blurred, so the positions around them are
protected more and more where that is not enough.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.bundle.manifest import Thresholds
from edge_inspect.edge.engines.memory_probe import Observation

Floats = NDArray[np.float32]

HALF = 0.5
"""Share of its excess that a weak defect must keep."""
CLEARLY = 0.25
"""Share of the distance between a usual good score and the threshold by which a strong defect must stay above the
threshold. The same network on other processors moves maps by up to that much (`calibrate.golden.MARGIN`)."""
ALIKE = 0.2
"""Share of the level within which positions count as unusual as the most unusual one."""
ROUNDS = 3
"""Number of times that protection is made stricter before it allows no nearer prototype at all."""


class Exhibit(NamedTuple):
    """The unusual positions of a labelled defect, and those around them.

    Attributes:
        id: Id of the part.
        level: Map value over which the excess counts.
        grid: Rows and columns of the positions of a tile.
        needed: Map value that a position must keep, (Q,); infinite around the unusual ones.
        places: Numbers of the positions, (Q,).
        values: Their map values, (Q,).
        directions: Their unit vectors in each bank, (Q, C) each.
        distances: Their distances from the nearest prototype of each bank, (Q,) each.
    """

    id: str
    level: float
    grid: tuple[int, int]
    needed: Floats
    places: NDArray[np.intp]
    values: Floats
    directions: list[Floats]
    distances: list[Floats]

    def is_kept(self, after: Floats) -> bool:
        """Return whether a position stays clearly above the level.

        Args:
            after: Map values of all positions of the part by the grown memory, (P,).
        """
        return bool((after[self.places] >= self.needed).any())

    def strongest(self, after: Floats) -> NDArray[np.intp]:
        """Return which positions the grown memory finds the least usual, as indices of `places`."""
        left = np.where(np.isfinite(self.needed), after[self.places], -np.inf)
        return np.flatnonzero(left >= left.max() - ALIKE * abs(self.level))

    def around(self, middle: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return which positions touch those in the middle, as indices of `places`."""
        marked = np.zeros(int(self.places.max()) + 1, bool)
        marked[self.places[middle]] = True
        return np.flatnonzero(_widened(marked, self.grid)[self.places] & ~np.isin(np.arange(len(self.places)), middle))


def exhibit_of(id_: str, seen: Observation, limits: Thresholds) -> Exhibit | None:
    """Return the unusual positions of a labelled defect; `None` if the bundle sees nothing unusual in it.

    Args:
        id_: Id of the part.
        seen: The part as the present memory sees it.
        limits: FP32's thresholds.
    """
    level = limits.image if seen.score > limits.image else limits.pixel
    unusual = seen.seen & (seen.values > level)
    if not seen.found or not unusual.any():
        return None
    places = np.flatnonzero(_widened(unusual, seen.grid))
    values = seen.values[places]
    usual = 0.0 if limits.scores is None else limits.scores.mean
    excess = np.minimum(HALF * (values - level), CLEARLY * max(limits.image - usual, 0.0))
    needed = np.where(unusual[places], level + excess, np.inf).astype(np.float32)
    directions, distances = ([vectors[places] for vectors in bank] for bank in (seen.directions, seen.distances))
    return Exhibit(id_, level, seen.grid, needed, places, values, directions, distances)


def too_near(
    exhibit: Exhibit, strongest: NDArray[np.intp], bank: int, vectors: Floats, strictness: int
) -> NDArray[np.bool_]:
    """Return which vectors are nearer to a defect than a prototype may be.

    The map is a weighted sum of both banks' distances, so a position whose distance in each bank falls to a share of
    what it was falls to about that share itself.

    Args:
        exhibit: The defect.
        strongest: Its protected positions, as indices of `places`.
        bank: Number of the bank.
        vectors: Unit vectors, (N, C).
        strictness: 0 protects the share of the distance that is needed, and nothing around it. `ROUNDS` protects the
            whole distance, also around it.
    """
    stricter = strictness / ROUNDS
    share = exhibit.needed[strongest] / exhibit.values[strongest]
    around = exhibit.around(strongest)
    shares = np.concatenate([share + (1 - share) * stricter, np.full(len(around), stricter, np.float32)])
    places = np.concatenate([strongest, around])
    allowed = shares * exhibit.distances[bank][places]
    near: NDArray[np.bool_] = (1 - vectors @ exhibit.directions[bank][places].T < allowed).any(axis=1)
    return near


def _widened(positions: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the positions and those that touch them in their tile, (P,); a last tile may be given in part."""
    rows, columns = grid
    tiles = -(-len(positions) // (rows * columns))
    padded = np.zeros(tiles * rows * columns, np.uint8)
    padded[: len(positions)] = positions
    wide = [cv2.dilate(tile, np.ones((3, 3), np.uint8)) for tile in padded.reshape(tiles, rows, columns)]
    return np.asarray(np.stack(wide).reshape(-1)[: len(positions)] > 0)
