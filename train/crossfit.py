"""Scores of good pictures by models that have seen neither them nor similar ones; they set a threshold.

Held-out pictures would do as well, but few can be spared. In cross-fitting, each block of the pictures is scored by a
model that learned from all other blocks, so that all pictures count (Vovk, Cross-conformal predictors, 2015; Barber et
al., Predictive inference with the jackknife+, 2021). The model that is shipped learned from every block. It knows a
little more than the models that scored, so its scores of good parts are a little lower, and fewer are rejected than
requested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.discrepancy import gaussian_blur, upsample

BLOCKS = 10
"""Number of blocks in cross-fitting. A model that lacks a fifth of 20 pictures scores good parts so much higher than
the shipped one that its threshold misses defects; one that lacks a tenth does so less (docs/measurements.md)."""

MAPS = "maps"
"""Under this name a system's last step returns the cross-fitted maps of its pictures."""

FEWEST = 10
"""Smallest number of pictures that are cross-fitted; with fewer, each model would lack too much."""


@dataclass(frozen=True)
class CrossFit:
    """Which pictures of a training each model leaves out, and how a picture is scored.

    Attributes:
        fit: How the pictures were fitted to the network.
        shown: For each picture, x0, y0, x1, y1 in canvas pixels of the part that shows the frame and not padding.
        blocks: For each picture, the number of its block.
        distinct: For each picture, whether its score counts: it is not a near duplicate of an earlier one.
    """

    fit: Fit
    shown: Sequence[tuple[int, int, int, int]]
    blocks: Sequence[int]
    distinct: Sequence[bool]

    @property
    def block_of_tile(self) -> NDArray[np.intp]:
        """Block of each picture as the network sees it; the tiles of a picture follow each other."""
        return np.repeat(np.asarray(self.blocks, np.intp), self.fit.grid.count)

    def entries(self, scores: Sequence[float], maps: Tensor) -> dict[str, Any]:
        """Return what a checkpoint's description says of distinct pictures: `scores`, and `area_scores` if any.

        Args:
            scores: The result of `scores`.
            maps: As for `scores`.
        """
        areas = {"area_scores": found} if (found := self.area_scores(maps)) else {}
        return {"scores": [scores[place] for place in self._distinct_places()], **areas}

    def scores(self, maps: Tensor) -> list[float]:
        """Return the score of each picture, distinct or not: the largest value of its map that counts.

        Args:
            maps: Maps of the tiles of all pictures, in order, before any smoothing, (N, 1, h, w).
        """
        weights = self.fit.weights
        every = (self.map_of(place, maps) for place in range(len(self.shown)))
        if weights is None:
            return [float(values.max()) for values in every]
        return [float((values * weights)[weights > 0].max()) for values in every]

    def area_scores(self, maps: Tensor) -> dict[str, list[float]]:
        """Return the score of each distinct picture in each area to look at, from the unscaled map.

        Args:
            maps: As for `scores`.

        Returns:
            The scores by the area's name; nothing if there are fewer than two areas.
        """
        masks = self.fit.look_masks
        if len(masks) < 2:
            return {}
        merged = [self.map_of(place, maps) for place in self._distinct_places()]
        return {name: [float(values[mask].max()) for values in merged] for name, mask in masks.items()}

    def map_of(self, place: int, maps: Tensor) -> NDArray[np.float32]:
        """Return the smoothed map of a picture, (height, width) of the canvas, -inf in the padding.

        Args:
            place: Place of the picture.
            maps: As for `scores`.
        """
        count, (x0, y0, x1, y1) = self.fit.grid.count, self.shown[place]
        tiles = maps[place * count : (place + 1) * count]
        smooth = gaussian_blur(upsample(tiles, (self.fit.height, self.fit.width)))[:, 0].numpy()
        merged = np.full(self.fit.canvas[::-1], -np.inf, np.float32)
        merged[y0:y1, x0:x1] = self.fit.merge(smooth)[y0:y1, x0:x1]
        return merged

    def _distinct_places(self) -> list[int]:
        return [place for place, distinct in enumerate(self.distinct) if distinct]
