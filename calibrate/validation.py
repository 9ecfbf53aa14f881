"""What each precision is judged on: good pictures the model has not seen, and flaws drawn on them."""

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
    """Pictures as the network sees them, each good one followed by its flaws; a tile counts as one.

    Attributes:
        pictures: (N, H, W, 3) uint8 BGR.
        masks: Of the flaws, (N, H, W) uint8; empty for good pictures.
        valid: Pixels that show the frame and not padding, (N, H, W) bool.
        threshold: FP32's: a part is rejected above this score. Without one, no verdicts are compared.
    """

    pictures: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    threshold: float = np.inf

    @property
    def flawed(self) -> NDArray[np.bool_]:
        """Which pictures have a flaw, (N,)."""
        return np.asarray(self.masks.any(axis=(1, 2)))

    def first(self, count: int) -> Validation:
        """Fewer of them."""
        return Validation(self.pictures[:count], self.masks[:count], self.valid[:count], self.threshold)


def draw_validation(
    frames: Sequence[Frame], fit: Fit, foreground: str = "auto", threshold: float = np.inf
) -> Validation:
    """At most 24 good pictures, tiles drawn at random where the fit has them, with three flaws each.

    Args:
        frames: Of good parts that the model has not seen.
        fit: How they meet the network.
        foreground: How the part is found that flaws lie on, see `train.foreground`.
        threshold: FP32's, of a frame.
    """
    tiles, shown = [], []
    order = np.random.default_rng(SEED).permutation(len(frames) * fit.grid.count)
    for which, tile in (divmod(int(place), fit.grid.count) for place in order):
        fitted, placement = fit.apply(frames[which])
        x0, y0, x1, y1 = placement.valid
        inside = np.zeros(fitted.shape[:2], bool)
        inside[y0:y1, x0:x1] = True
        inside = inside[fit.grid.places()[tile]]
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
