"""Measure how fast a bundle is on this box, compared with its engine's compiled graph alone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.decision import Decider
from edge_inspect.edge.engines import BegunMap, Engine
from edge_inspect.edge.engines.opening import best_engine, open_checked_engine
from edge_inspect.edge.engines.trial import can_be_timed
from edge_inspect.edge.engines.trial_process import try_apart
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.memory import peak_mb
from edge_inspect.edge.step_times import step_times

WARM_UP = 10
"""Number of frames before the measurement."""


def bench(
    path: Path,
    precision: Precision | None,
    frames: int,
    size: tuple[int, int],
    name: str | None = None,
    *,
    profiled: bool = False,
) -> dict[str, Any]:
    """Return the times of a bundle end to end and of its engine's compiled graph alone.

    Both are timed in turn, frame by frame, so that they meet the same conditions. The raw time is that of what the
    engine has compiled, whose input and outputs stay in place; no inspection can be faster. End to end begins with a
    frame in memory and ends with the verdict and, if the frame is rejected, its regions. The frames are noise, which is
    as unlike a good part as possible.

    `fps` is for frames one after the other, `fps_of_waiting_frames` for frames that wait, of which the engine computes
    several at a time; it is `None` for an engine that cannot. The peak of the memory is without that.

    Args:
        path: Path of the bundle.
        precision: Precision to run; by default the one that a service would choose on this box, for which the bundle's
            precisions are timed first, in another process.
        frames: Number of frames to time.
        size: Width and height of the frames.
        name: Name of the engine; by default the one that the service would use.
        profiled: Whether the result has `steps_ms` and `layers` too (edge/step_times.py).

    Raises:
        BundleError: The bundle is damaged.
        EngineError: No engine that reproduces the golden frames can be built.
    """
    choice = None
    if precision is None and can_be_timed(name or best_engine()):
        choice = try_apart(open_bundle(path), name or best_engine())
    started = time.perf_counter()
    bundle = open_bundle(path)
    chosen = None if choice is None else choice.precision
    with open_checked_engine(bundle, precision, first=chosen, engine=name) as engine:
        decider = Decider(bundle, engine.precision)
        pictures = _pictures(size)
        engine.infer(pictures[0])
        first = time.perf_counter() - started
        network = engine.network_alone(bundle)

        def whole(i: int) -> None:
            decider.decide(engine.infer(pictures[i % len(pictures)]))

        def alone(_: int) -> None:
            network()

        for i in range(WARM_UP):
            whole(i)
            alone(i)
        times = np.array([(_seconds(whole, i), _seconds(alone, i)) for i in range(frames)]) * 1000
        peak = peak_mb()
        fps_of_waiting = _fps_of_waiting(engine, decider, pictures, frames)
        profile = step_times(bundle, engine, size, frames) if profiled else {}
    end_to_end, floor = np.median(times, axis=0)
    p50, p95, p99 = np.percentile(times[:, 0], (50, 95, 99))
    return {
        "bundle": bundle.manifest.name,
        "engine": engine.name,
        "precision": engine.precision,
        "precision_reason": None if choice is None else str(choice),
        "frame": f"{size[0]}x{size[1]}",
        "frames": frames,
        "raw_ms_p50": round(float(floor), 3),
        "end_to_end_ms_p50": round(float(p50), 3),
        "end_to_end_ms_p95": round(float(p95), 3),
        "end_to_end_ms_p99": round(float(p99), 3),
        "end_to_end_over_raw": round(float(end_to_end / floor), 4),
        "fps": round(1000 / float(p50), 2),
        "fps_of_waiting_frames": fps_of_waiting,
        "open_to_first_verdict_s": round(first, 3),
        "peak_mb": peak,
        **profile,
    }


def _fps_of_waiting(engine: Engine, decider: Decider, pictures: list[Frame], frames: int) -> float | None:
    """Return the frames per second of an engine that computes several at a time; `None` if it cannot."""
    if not engine.prepare_several():
        return None
    begun: deque[BegunMap] = deque()

    def read_first() -> None:
        anomaly = begun.popleft().wait()
        assert anomaly is not None
        decider.decide(anomaly)

    started = 0.0
    for i in range(WARM_UP + frames):
        if i == WARM_UP:
            started = time.perf_counter()
        if begun and len(begun) == begun[0].at_a_time:
            read_first()
        following = engine.begin(pictures[i % len(pictures)])
        assert following is not None
        begun.append(following)
    while begun:
        read_first()
    return round(frames / (time.perf_counter() - started), 2)


def _pictures(size: tuple[int, int]) -> list[Frame]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (size[1], size[0], 3), np.uint8) for _ in range(4)]


def _seconds(step: Callable[[int], None], i: int) -> float:
    started = time.perf_counter()
    step(i)
    return time.perf_counter() - started
