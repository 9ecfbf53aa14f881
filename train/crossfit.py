"""Scores of good pictures by models that have not seen them, nor their like: what a threshold is set by.

Pictures held out would do as well, but few can be spared. In cross-fitting each block of the pictures is scored by a
model that learned from all others, so that all of them count (Vovk, Cross-conformal predictors, 2015; Barber et al.,
Predictive inference with the jackknife+, 2021). The model that is shipped learned from every block. It knows a little
more than those which scored, so good parts score a little lower by it, and fewer are rejected than was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.discrepancy import gaussian_blur, upsample

BLOCKS = 5
"""In how many blocks the pictures are cross-fitted."""

FEWEST = 10
"""Pictures from which on they are; of fewer, a block would be one picture, and each model lacks too much."""


@dataclass(frozen=True)
class CrossFit:
    """Which pictures of a training each model is to lack, and how a picture is scored.

    Attributes:
        fit: How the pictures were brought to the network.
        shown: Of each picture, x0, y0, x1, y1 in canvas pixels: the part that shows the frame, not padding.
        blocks: Of each picture, the number of its block.
        distinct: Of each picture, whether its score counts: it is no near duplicate of one before.
    """

    fit: Fit
    shown: Sequence[tuple[int, int, int, int]]
    blocks: Sequence[int]
    distinct: Sequence[bool]

    @property
    def block_of_tile(self) -> NDArray[np.intp]:
        """The block of each of the pictures as the network sees them; a picture's tiles follow each other."""
        return np.repeat(np.asarray(self.blocks, np.intp), self.fit.grid.count)

    def scores(self, maps: Tensor) -> list[float]:
        """Return the score of each distinct picture: its map's largest value where it shows the frame.

        Args:
            maps: Of the tiles of all pictures, one after the other, before any smoothing, (N, 1, h, w).
        """
        scores = []
        pictures = zip(maps.split(self.fit.grid.count), self.shown, self.distinct, strict=True)
        for tiles, (x0, y0, x1, y1), distinct in pictures:
            if not distinct:
                continue
            smooth = gaussian_blur(upsample(tiles, (self.fit.height, self.fit.width)))[:, 0].numpy()
            scores.append(float(self.fit.merge(smooth)[y0:y1, x0:x1].max()))
        return scores
