"""The default size of the network's input: the proportions of the pictures, at the cost of a 256x256 square."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

from edge_inspect.edge.frame.fit import MULTIPLE, Fit
from edge_inspect.edge.frame.images import read_image

SIDE = 256
"""A network's input has about as many pixels as a square of this side."""

MOST_PICTURES = 16
"""Number of pictures, evenly spaced, whose proportions are looked at."""

ALIKE = 1.1
"""If proportions differ by more than this factor, no rectangle fits them better than a square."""

_SIDES = range(MULTIPLE, 4 * SIDE + 1, MULTIPLE)


def input_size(pictures: Sequence[Path], fit: Fit) -> tuple[int, int]:
    """Return width and height of the network's input for pictures: their proportions, or a square if these vary.

    Args:
        pictures: Files of the training pictures, at least one.
        fit: Fit whose region of interest and bits are used.

    Raises:
        ImageError: A picture that is looked at cannot be read.
        UsageError: The region lies outside a picture.
    """
    few = pictures[:: -(-len(pictures) // MOST_PICTURES)]
    regions = [fit.region_of(read_image(path, fit.bits)) for path in few]
    proportions = sorted(width / height for _, _, width, height in regions)
    if proportions[-1] > ALIKE * proportions[0]:
        return SIDE, SIDE
    return size_for(proportions[len(proportions) // 2])


def size_for(proportion: float) -> tuple[int, int]:
    """Return the width and height, multiples of 32, that come nearest to a proportion and to 256x256 pixels.

    Args:
        proportion: Width divided by height.
    """

    def apart(size: tuple[int, int]) -> float:
        width, height = size
        return abs(math.log(width / height / proportion)) + abs(math.log(width * height / SIDE**2)) / 2

    fitting = [(w, h) for w, h in itertools.product(_SIDES, _SIDES) if w * h <= 1.1 * SIDE**2]
    return min(fitting, key=apart)
