"""Cut a canvas into overlapping tiles, and merge the maps of the tiles into one without seams.

Across an overlap the weight of a tile rises along a squared sine, in columns and rows alike:

    w(j) = sin^2(pi/2 (j + 1/2) / overlap),   j = 0 .. overlap - 1,   and 1 - w(j) for the neighbour

So the weights of all tiles sum to 1 at every pixel. The rim of a tile has the least weight, because the network does
not see its surroundings there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.fit_modes import MOST_TILES, OVERLAP
from edge_inspect.edge.frame.images import Frame

TileArea = tuple[slice, slice]
"""Rows and columns of the canvas that a tile covers."""


@dataclass(frozen=True)
class Grid:
    """The positions of tiles on a canvas. Tiles are numbered row by row.

    Attributes:
        width: Width of a tile in pixels.
        height: Height of a tile in pixels.
        columns: Number of tiles side by side.
        rows: Number of tiles one below the other.
        overlap: Number of pixels that neighbouring tiles share, at most half a tile's side.
    """

    width: int
    height: int
    columns: int = 1
    rows: int = 1
    overlap: int = 0

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.columns * self.rows

    @property
    def canvas(self) -> tuple[int, int]:
        """Width and height of the canvas in pixels."""
        step_x, step_y = self.width - self.overlap, self.height - self.overlap
        return self.width + (self.columns - 1) * step_x, self.height + (self.rows - 1) * step_y

    def places(self) -> list[TileArea]:
        """Return the area of the canvas that each tile covers."""
        step_x, step_y = self.width - self.overlap, self.height - self.overlap
        corners = [(column * step_x, row * step_y) for row in range(self.rows) for column in range(self.columns)]
        return [(slice(y, y + self.height), slice(x, x + self.width)) for x, y in corners]

    def cut(self, canvas: Frame) -> Frame:
        """Return copies of the tiles of a canvas: (height, width, 3) to (tiles, height, width, 3)."""
        return np.stack([canvas[place] for place in self.places()])


def grid_for(region: tuple[int, int], tile: tuple[int, int], overlap: int = OVERLAP) -> tuple[int, int]:
    """Return the smallest number of columns and rows of tiles whose canvas has at least the region's size.

    With so many tiles the region is not shrunk.

    Args:
        region: Width and height of the inspected region in frame pixels.
        tile: Width and height of the network's input.
        overlap: Number of pixels that neighbouring tiles share.

    Raises:
        UsageError: More than 16 tiles are needed, or the overlap is too large.
    """
    if not 0 <= 2 * overlap <= min(tile):
        raise UsageError(f"overlap {overlap} must lie between 0 and half a tile's side, {min(tile) // 2}")
    columns, rows = (
        max(1, -(-(length - overlap) // (side - overlap))) for length, side in zip(region, tile, strict=True)
    )
    if columns * rows > MOST_TILES:
        raise UsageError(
            f"{region[0]}x{region[1]} pixels need {columns}x{rows} = {columns * rows} tiles of {tile[0]}x{tile[1]}, "
            f"but auto makes {MOST_TILES} at most; give fewer with --tiles (the picture is then shrunk to them), a "
            "smaller --region, or a larger --size"
        )
    return columns, rows


class Merger:
    """A buffer in which the maps of tiles are merged, so that no memory is allocated per frame.

    Args:
        grid: Positions of the tiles.

    Attributes:
        values: The last merged map, (height, width) float32 of the canvas.
    """

    def __init__(self, grid: Grid) -> None:
        width, height = grid.canvas
        self.values = np.zeros((height, width), np.float32)
        self._weighted = np.empty((grid.height, grid.width), np.float32)
        self._places = grid.places()
        across = _weights(grid.columns, grid.width, grid.overlap)
        down = _weights(grid.rows, grid.height, grid.overlap)[:, :, None]
        self._weights = [(down[row], across[column]) for row in range(grid.rows) for column in range(grid.columns)]

    def merge(self, maps: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the canvas's map, which is valid until the next call.

        Args:
            maps: Map of each tile, (height, width) float32. Each is read before the next one is requested.
        """
        self.values.fill(0)
        for values, place, (down, across) in zip(maps, self._places, self._weights, strict=True):
            np.multiply(values, down, out=self._weighted)
            np.multiply(self._weighted, across, out=self._weighted)
            self.values[place] += self._weighted
        return self.values


def _weights(count: int, side: int, overlap: int) -> NDArray[np.float32]:
    """Return the weights of `count` tiles in a row, (count, side) float32. At the ends of the row they stay 1."""
    weights = np.ones((count, side), np.float32)
    if count > 1 and overlap:
        rising = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap) ** 2
        weights[1:, :overlap] = rising
        weights[:-1, -overlap:] = 1 - rising
    return weights
