"""What one precision of a bundle says of a set of frames, and how long it takes, through the engine of the box."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle
from edge.engines.openvino import OpenVinoEngine, default_type
from edge.images import Frame
from edge.messages import Precision

TIMED_RUNS = 12
TIMED_S = 0.25
"""Fast networks are timed on their pictures again until they have run so long: forms differ by a few per cent."""


@dataclass(frozen=True)
class Measurement:
    """The result for each frame, and the speed.

    Attributes:
        scores: Image scores.
        maps: Anomaly maps, (height, width) float32 of the fit's canvas.
        shown: Of each map, the part that shows the frame, not padding.
        latency_ms: The median of the frames, of 12 at least, end to end.
    """

    scores: list[float]
    maps: list[NDArray[np.float32]]
    shown: list[NDArray[np.float32]]
    latency_ms: float


@dataclass(frozen=True)
class OwnDefault:
    """The float network as OpenVINO computes it where nobody names a type.

    Attributes:
        type: That of this processor.
        latency_ms: As of `Measurement`.
        score_shift: Mean absolute difference of the scores from FP32's.
    """

    type: str
    latency_ms: float
    score_shift: float

    def __str__(self) -> str:
        return (
            f"OpenVINO left to itself computes the float network in {self.type} here: {self.latency_ms:.1f} ms, good "
            f"scores move by {self.score_shift:.4f}; its thresholds would hold on such processors alone, so no "
            "precision of the bundle is that"
        )


def measure_own_default(bundle: Bundle, frames: Sequence[Frame], fp32: Measurement) -> OwnDefault | None:
    """What INT8 competes with on a processor that has a faster float than float32; `None` on others."""
    if default_type() == "f32":
        return None
    found = measure(bundle, "fp32", frames, exact=False)
    shift = float(np.abs(np.subtract(found.scores, fp32.scores)).mean())
    return OwnDefault(default_type(), found.latency_ms, shift)


def measure(bundle: Bundle, precision: Precision, frames: Sequence[Frame], exact: bool = True) -> Measurement:
    """Runs the frames through a bundle's model; `exact` as of the engine.

    Raises:
        EngineError: The engine cannot be built or failed.
    """
    engine = OpenVinoEngine(bundle, precision, exact=exact)
    scores, maps, shown, seconds = [], [], [], []
    for i in range(max(TIMED_RUNS, len(frames))):
        started = time.perf_counter()
        anomaly = engine.infer(frames[i % len(frames)])
        seconds.append(time.perf_counter() - started)
        if i < len(frames):
            x0, y0, x1, y1 = anomaly.placement.valid
            scores.append(anomaly.score)
            maps.append(anomaly.values.copy())
            shown.append(maps[-1][y0:y1, x0:x1])
    return Measurement(scores, maps, shown, float(np.median(seconds)) * 1000)


def infer_fitted(
    bundle: Bundle, precision: Precision, pictures: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], float]:
    """The maps of pictures that are fitted already, (N, H, W), and the median milliseconds of one.

    Raises:
        EngineError: The engine cannot be built or failed.
    """
    engine = OpenVinoEngine(bundle, precision)
    maps, seconds = np.empty(pictures.shape[:3], np.float32), []
    for i, picture in enumerate(pictures):
        started = time.perf_counter()
        maps[i] = engine.infer_fitted(picture)
        seconds.append(time.perf_counter() - started)
    while sum(seconds) < TIMED_S:
        started = time.perf_counter()
        engine.infer_fitted(pictures[len(seconds) % len(pictures)])
        seconds.append(time.perf_counter() - started)
    return maps, float(np.median(seconds)) * 1000
