"""The smallest flaws that are found: flaws of set sizes on held-out good pictures, judged as on a station."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge_inspect.calibrate.engines import engine_of
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.frame.images import Frame
from edge_inspect.train.flaws import Flaws

WIDTHS = (0.01, 0.02, 0.05, 0.1)
"""Lengths of flaws, as shares of the part's width."""

PICTURES, FLAWS = 16, 48
"""Most good pictures that flaws are drawn on; least number of flaws of each size."""

SEED = 0x512E


def score_flaws(
    bundle: Bundle, precision: Precision, frames: Sequence[Frame], foreground: str = "auto"
) -> dict[float, list[float]]:
    """Return the scores of flaws of each size; the kinds of flaws take turns.

    Flaws are drawn on the network's view of the whole part, so they have the same size on the part whether or not it is
    cut into tiles.

    Args:
        bundle: The bundle in the making.
        precision: Precision that judges.
        frames: Frames of good parts that the model has not seen, at least one.
        foreground: How to find the part, on which the flaws lie; see `train.foreground`.

    Raises:
        EngineError: The engine cannot be built or failed.
    """
    engine, fitted = engine_of(bundle, precision), [bundle.fit.apply(frame) for frame in frames[:PICTURES]]
    pictures = np.stack([picture for picture, _ in fitted])
    valid = np.stack([placement.looked_at(bundle.fit.canvas) for _, placement in fitted])
    flaws = Flaws(pictures, seed=SEED, foreground=foreground, valid=valid)
    scores: dict[float, list[float]] = {width: [] for width in WIDTHS}
    for index, counts in enumerate(valid):
        for width, turn in ((width, turn) for width in WIDTHS for turn in range(math.ceil(FLAWS / len(fitted)))):
            values = engine.infer_fitted(flaws.draw(index, turn, width).picture)
            scores[width].append(float(values[counts].max()))
    return scores
