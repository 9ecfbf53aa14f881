"""Results and speed of one precision of a bundle on a set of frames, measured through the engine of the box."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_inspect.calibrate.engines import engine_of
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.openvino import OpenVinoEngine
from edge_inspect.edge.frame.images import Frame

TIMED_RUNS = 12
TIMED_S = 0.25
"""Seconds that each network runs at least. Fast ones go over their pictures again, because forms of INT8 differ by only
a few per cent."""

TURN = 5
"""Pictures that an engine runs in its turn. The first is not timed, because the caches hold another engine's data."""


@dataclass(frozen=True)
class Measurement:
    """The result for each frame, and the speed.

    Attributes:
        scores: Image scores.
        maps: Anomaly maps, (height, width) float32 on the fit's canvas.
        shown: The part of each map that shows the frame and not padding.
        latency_ms: Median milliseconds of a frame, end to end, over 12 runs at least.
    """

    scores: list[float]
    maps: list[NDArray[np.float32]]
    shown: list[NDArray[np.float32]]
    latency_ms: float


def measure(bundle: Bundle, precision: Precision, frames: Sequence[Frame]) -> Measurement:
    """Run the frames through a bundle's model.

    Raises:
        EngineError: The engine cannot be built or failed.
    """
    engine = engine_of(bundle, precision)
    scores, maps, shown, seconds = [], [], [], []
    for i in range(max(TIMED_RUNS, len(frames))):
        started = time.perf_counter()
        anomaly = engine.infer(frames[i % len(frames)])
        seconds.append(time.perf_counter() - started)
        if i < len(frames):
            scores.append(anomaly.score)
            maps.append(anomaly.values.copy())
            shown.append(maps[-1][anomaly.placement.looked_at(bundle.fit.canvas)])
    return Measurement(scores, maps, shown, float(np.median(seconds)) * 1000)


def infer_fitted(
    engines: Sequence[OpenVinoEngine], pictures: NDArray[np.uint8], least_s: float = TIMED_S
) -> list[tuple[NDArray[np.float32], float]]:
    """Return the maps of pictures that are fitted already, (N, H, W), and each engine's median milliseconds for one.

    The engines take turns, so that a machine that slows down meanwhile slows all of them.

    Args:
        engines: The engines, at least one.
        pictures: (N, H, W, 3) uint8 BGR.
        least_s: Shortest time that each engine runs, in seconds; 0 if only the maps are wanted.

    Raises:
        EngineError: An engine failed.
    """
    maps = [np.empty(pictures.shape[:3], np.float32) for _ in engines]
    seconds: list[list[float]] = [[] for _ in engines]
    begun = 0
    while begun < len(pictures) or min(map(sum, seconds)) < least_s:
        for engine, taken, found in zip(engines, seconds, maps, strict=True):
            for i in range(begun, begun + TURN):
                started = time.perf_counter()
                values = engine.infer_fitted(pictures[i % len(pictures)])
                if i > begun:
                    taken.append(time.perf_counter() - started)
                if i < len(pictures):
                    found[i] = values
        begun += TURN
    return [(found, float(np.median(taken)) * 1000) for found, taken in zip(maps, seconds, strict=True)]
