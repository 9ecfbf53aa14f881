"""The pictures on which each precision is judged: good ones the model has not seen, and flaws drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame
from edge_inspect.train.flaws import Flaws

SEED = 0xCA1
GOOD = 24
DRAWS = 3


@dataclass(frozen=True)
class Validation:
    """Pictures as the network sees them, each good one followed by its flawed variants; a tile counts as a picture.

    Attributes:
        pictures: (N, H, W, 3) uint8 BGR.
        masks: Masks of the flaws, (N, H, W) uint8; empty for good pictures.
        valid: Pixels that show the frame and not padding, (N, H, W) bool.
        threshold: FP32's threshold; a part with a higher score is rejected. Without one, no verdicts are compared.
    """

    pictures: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    threshold: float = np.inf

    @property
    def flawed(self) -> NDArray[np.bool_]:
        """Whether each picture has a flaw, (N,) bool."""
        return np.asarray(self.masks.any(axis=(1, 2)))

    def first(self, count: int) -> Validation:
        """Return the first `count` of the pictures."""
        return Validation(self.pictures[:count], self.masks[:count], self.valid[:count], self.threshold)


def draw_validation(
    frames: Sequence[Frame], fit: Fit, foreground: str = "auto", threshold: float = np.inf
) -> Validation:
    """Return at most 24 good pictures with three flawed variants each; tiles are drawn at random if the fit has them.

    Args:
        frames: Frames of good parts that the model has not seen.
        fit: How frames are fitted to the network.
        foreground: How to find the part, on which the flaws lie; see `train.foreground`.
        threshold: FP32's threshold for a frame.
    """
    tiles, shown = [], []
    order = np.random.default_rng(SEED).permutation(len(frames) * fit.grid.count)
    for which, tile in (divmod(int(place), fit.grid.count) for place in order):
        fitted, placement = fit.apply(frames[which])
        inside = placement.looked_at(fit.canvas)[fit.grid.places()[tile]]
        if inside.any():
            tiles.append(fit.cut(fitted)[tile])
            shown.append(inside)
        if len(tiles) == GOOD:
            break
    flaws = Flaws(np.stack(tiles), seed=SEED, foreground=foreground, valid=np.stack(shown))
    pictures, masks, valid = [], [], []
    for i, (tile, inside) in enumerate(zip(tiles, shown, strict=True)):
        drawn = [flaws.draw(i, turn) for turn in range(DRAWS)]
        seen = [flaw for flaw in drawn if flaw.mask[inside].any()]
        pictures += [tile, *(flaw.picture for flaw in seen)]
        masks += [np.zeros(inside.shape, np.uint8), *(flaw.mask for flaw in seen)]
        valid += [inside] * (1 + len(seen))
    return Validation(np.stack(pictures), np.stack(masks), np.stack(valid), threshold)
