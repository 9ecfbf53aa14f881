"""Golden frames: what each precision makes of four frames here, which engines elsewhere must reproduce."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge_inspect.calibrate.engines import engine_of
from edge_inspect.calibrate.measurement import Measurement
from edge_inspect.edge.bundle.bundle import Bundle, GoldenFrame
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame
from edge_inspect.train.flaws import KINDS, Flaws

GOOD_FRAMES, FLAWED_FRAMES = 2, 2
SEED = 0x601D
FP32_TOLERANCE, FP32_RELATIVE = 1e-3, 1e-4
LEAST_TOLERANCE = 0.01
MARGIN = 0.5
"""Of what lies between a usual good part and the threshold: an engine within it accepts that part for certain.

The same INT8 on processors with other instructions moved map values by up to 0.24 of it.
"""


def golden_frames(
    arithmetic: Bundle, frames: Sequence[Frame], threshold: float, foreground: str = "auto"
) -> list[GoldenFrame]:
    """Return two good frames and two flawed ones, with the maps of every precision.

    The flawed ones are those of six, one of each kind of flaw, that FP32 rejects by the least: there verdicts change
    first. Where it rejects none, they are those that it comes nearest to rejecting.

    Args:
        arithmetic: The bundle in the making, with the networks that give each precision's numbers here.
        frames: Of good parts, at least one.
        threshold: FP32's.
        foreground: How the part is found that flaws lie on, see `train.foreground`.
    """
    chosen = [*frames[:GOOD_FRAMES], *_flawed(arithmetic, frames, threshold, foreground)]
    engines = {each: engine_of(arithmetic, each) for each in arithmetic.manifest.precisions}
    golden = []
    for frame in chosen:
        found = {precision: engine.infer(frame) for precision, engine in engines.items()}
        maps = {precision: anomaly.values.copy() for precision, anomaly in found.items()}
        golden.append(GoldenFrame(frame=frame, score=found["fp32"].score, map=maps.pop("fp32"), others=maps))
    return golden


def _flawed(arithmetic: Bundle, frames: Sequence[Frame], threshold: float, foreground: str) -> list[Frame]:
    engine = engine_of(arithmetic, "fp32")
    candidates = [with_flaw(frames[-1 - i % len(frames)], arithmetic.fit, i, foreground) for i in range(len(KINDS))]
    scores = [engine.infer(frame).score for frame in candidates]
    order = sorted(range(len(scores)), key=lambda i: (scores[i] <= threshold, abs(scores[i] - threshold)))
    return [candidates[i] for i in order[:FLAWED_FRAMES]]


def with_flaw(frame: Frame, fit: Fit, kind: int, foreground: str = "auto") -> Frame:
    """Return a frame with a flaw on the part of it that the network sees.

    Args:
        frame: Of a good part.
        fit: How frames are brought to the network.
        kind: Which of `train.flaws.KINDS`.
        foreground: How the part is found, see `train.foreground`.
    """
    left, top, right, bottom = fit.apply(frame)[1].seen
    seen = slice(top, bottom), slice(left, right)
    flawed: Frame = frame.copy()
    flawed[seen] = Flaws(frame[seen][None], seed=SEED, foreground=foreground).draw(0, kind).picture
    return flawed


def tolerances(measured: Mapping[Precision, Measurement], limits: Mapping[Precision, float]) -> dict[Precision, float]:
    """Return how far golden maps may lie apart: half of what lies between a usual good score and the threshold.

    FP32 has no such freedom: beside the others it is the reference.

    Args:
        measured: What each precision says of good frames.
        limits: The thresholds.
    """
    largest = max(float(np.abs(values).max()) for values in measured["fp32"].maps)
    allowed: dict[Precision, float] = {"fp32": fp32_tolerance(largest)}
    for name in measured.keys() - {"fp32"}:
        margin = limits[name] - float(np.median(measured[name].scores))
        allowed[name] = round(max(MARGIN * margin, LEAST_TOLERANCE), 4)
    return allowed


def fp32_tolerance(largest: float) -> float:
    """Return how far float32 maps may lie apart: rounding errors of DMDD's, whose values reach tens, grow with them."""
    return round(max(FP32_TOLERANCE, FP32_RELATIVE * largest), 6)
