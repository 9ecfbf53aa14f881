"""Golden frames: the maps of four frames in each precision here, which engines elsewhere must reproduce."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge_inspect.calibrate.engines import engine_of
from edge_inspect.calibrate.precisions.measurement import Measurement
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
"""Tolerance as a share of the distance from a usual good part's score to the threshold. An engine that stays within the
tolerance certainly accepts that part.

The same INT8 on processors with other instructions moved map values by up to 0.24 of that distance.
"""


def golden_frames(
    arithmetic: Bundle, frames: Sequence[Frame], threshold: float, foreground: str = "auto"
) -> list[GoldenFrame]:
    """Return two good frames and two flawed ones, with the maps of every precision.

    The flawed frames are chosen from six, one for each kind of flaw: the two that FP32 rejects by the smallest margin,
    because their verdicts would change first. If FP32 rejects none, the two that are closest to being rejected are
    taken.

    Args:
        arithmetic: The bundle in the making, with the networks that give each precision's numbers on this machine.
        frames: Frames of good parts, at least one.
        threshold: FP32's threshold.
        foreground: How to find the part, on which the flaws lie; see `train.foreground`.
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
        frame: Frame of a good part.
        fit: How frames are fitted to the network.
        kind: Index into `train.flaws.KINDS`.
        foreground: How to find the part; see `train.foreground`.
    """
    if fit.aligner is not None:
        frame = fit.aligner.align(frame, fit.aligner.find(frame))
    left, top, right, bottom = fit.apply(frame)[1].seen
    seen = slice(top, bottom), slice(left, right)
    flawed: Frame = frame.copy()
    counts = None if fit.areas is None else fit.areas.looked_at()[seen][None]
    flawed[seen] = Flaws(frame[seen][None], seed=SEED, foreground=foreground, valid=counts).draw(0, kind).picture
    return flawed


def tolerances(measured: Mapping[Precision, Measurement], limits: Mapping[Precision, float]) -> dict[Precision, float]:
    """Return how far golden maps may differ: half of the distance from a usual good score to the threshold.

    FP32 gets no such freedom, because it is the reference for the others.

    Args:
        measured: Measurements of each precision on good frames.
        limits: Threshold of each precision.
    """
    largest = max(float(np.abs(values).max()) for values in measured["fp32"].maps)
    allowed: dict[Precision, float] = {"fp32": fp32_tolerance(largest)}
    for name in measured.keys() - {"fp32"}:
        margin = limits[name] - float(np.median(measured[name].scores))
        allowed[name] = round(max(MARGIN * margin, LEAST_TOLERANCE), 4)
    return allowed


def fp32_tolerance(largest: float) -> float:
    """Return how far float32 maps may differ; DMDD's values reach tens, and rounding errors grow with the values."""
    return round(max(FP32_TOLERANCE, FP32_RELATIVE * largest), 6)
