"""Parts of the rendered line under a lamp that changes: what a bundle scores them, and what their pictures show.

Every part is rendered afresh, judged by the real engine and looked at as a station does. Only the figures are kept, in
a folder, so that rendering and judging (30 ms a part) are done once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.demo.line import DEFECTS, render_part
from edge_inspect.edge.health.picture import PictureFigures, examine
from edge_inspect.edge.station.loaded_bundle import LoadedBundle

SPLIT = 1_000_000
"""Seeds of the parts of stream n begin at (2 n + 1) times it, so that none is of a data set (edge/demo/line.py)."""
PERIOD, AMPLITUDE = 2000, 0.04
"""The lamp's light goes up and down by this share, once in so many parts."""


class Seen(NamedTuple):
    """One part.

    Attributes:
        score: The bundle's, in the precision of the engine.
        picture: What its picture shows.
        bad: Whether it has a defect.
    """

    score: float
    picture: PictureFigures
    bad: bool


class Parts(NamedTuple):
    """Parts to be rendered.

    Attributes:
        stream: Which stream they are of.
        numbers: Their places in it, which decide what they look like.
        lamp: The lamp's light at each of them.
        defects: The defect of each; `None`: it is good.
    """

    stream: int
    numbers: NDArray[np.int64]
    lamp: NDArray[np.float64]
    defects: Sequence[str | None]


def drifting(numbers: NDArray[np.int64], phase: int = 0) -> NDArray[np.float64]:
    """Return the light of a lamp that goes up and down, for parts by their number."""
    light: NDArray[np.float64] = 1 + AMPLITUDE * np.sin(2 * np.pi * (numbers + phase) / PERIOD)
    return light


def chance_defects(rng: np.random.Generator, parts: int, share: float) -> list[str | None]:
    """Return the defects of parts, each of which has one with the same chance."""
    bad, which = rng.random(parts) < share, rng.integers(len(DEFECTS), size=parts)
    return [DEFECTS[kind] if has else None for has, kind in zip(bad, which, strict=True)]


def see(parts: Parts, loaded: LoadedBundle, kept: Path) -> list[Seen]:
    """Return what is seen of parts, from the file `kept` where it is there."""
    if not kept.exists():
        rows = []
        cv2.setNumThreads(1)
        for number, lamp, defect in zip(parts.numbers.tolist(), parts.lamp.tolist(), parts.defects, strict=True):
            frame = render_part((2 * parts.stream + 1) * SPLIT + number, defect, lamp).frame
            rows.append((loaded.inspect(frame)[1].score, *examine(frame)))
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, np.array(rows))
    return [
        Seen(score, PictureFigures(level, saturated, sharpness, int(digest), x, y), defect is not None)
        for (score, level, saturated, sharpness, digest, x, y), defect in zip(
            np.load(kept).tolist(), parts.defects, strict=True
        )
    ]
