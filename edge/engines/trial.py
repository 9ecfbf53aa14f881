"""Time the precisions of a bundle on this box."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines import Engine
from edge_inspect.edge.engines.choice import Choice, choose
from edge_inspect.edge.engines.opening import open_checked_engine
from edge_inspect.edge.engines.registry import ENGINES
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.images import Frame

TURNS, TURN = 8, 4
"""Turns that each precision gets, and frames of a turn. The first frame of a turn is not timed, because the caches hold
another engine's data."""

MOST_S = 3.0
"""Seconds after which no further round of turns begins."""


def can_be_timed(engine: str) -> bool:
    """Return whether an engine's precisions can be timed at a start; one that is built on the box takes minutes."""
    return not ENGINES[engine].built


def try_precisions(bundle: Bundle, engine: str, *, threads: int = 0) -> Choice:
    """Open every precision that the bundle allows, check the golden frames, time them in turns, and choose.

    It takes the time of opening them and at most about three seconds more; on a box that needs longer than that for
    four frames in each precision, the time for these.

    Args:
        bundle: The bundle.
        engine: Name of the engine; one that `can_be_timed`.
        threads: Number of processor threads; 0 means all.

    Raises:
        EngineError: No precision holds the golden frames, or an engine failed while it was timed.
    """
    order = contenders(bundle, engine)
    if len(order) == 1:
        return Choice(precision=order[0], latency_ms={}, against={})
    against: dict[Precision, str] = {}
    with ExitStack() as opened:
        engines: list[Engine] = []
        for precision in order:
            try:
                checked = open_checked_engine(bundle, precision, engine=engine, threads=threads)
            except EngineError as error:
                against[precision] = str(error)
            else:
                engines.append(opened.enter_context(checked))
        latency_ms = time_in_turns(engines, [golden.frame for golden in bundle.golden()])
    return choose(order, latency_ms, against)


def contenders(bundle: Bundle, engine: str) -> list[Precision]:
    """Return the precisions to time: those that the bundle allows, the engine's order first.

    FP16 is not among them: a processor computes it in float32, as fast as FP32, and FP32 is more exact.
    """
    order = bundle.manifest.order_of(engine)
    allowed = [*order, *(name for name in bundle.manifest.allowed if name not in order)]
    return [name for name in allowed if name != "fp16"] or order


def time_in_turns(engines: Sequence[Engine], frames: Sequence[Frame]) -> dict[Precision, float]:
    """Return the milliseconds that a frame takes in each engine's precision.

    The engines take turns, so that a box that slows down meanwhile slows all of them. Of each engine's times the tenth
    percentile counts: whatever else the box does makes single frames slower, never faster.

    Args:
        engines: Engines of different precisions.
        frames: Frames to run, at least one.

    Raises:
        EngineError: An engine failed.
    """
    seconds: dict[Precision, list[float]] = {engine.precision: [] for engine in engines}
    end = time.monotonic() + MOST_S
    for _ in range(TURNS):
        for engine in engines:
            for i in range(TURN):
                started = time.perf_counter()
                engine.infer(frames[i % len(frames)])
                if i:
                    seconds[engine.precision].append(time.perf_counter() - started)
        if time.monotonic() > end:
            break
    return {name: float(np.percentile(taken, 10)) * 1000 for name, taken in seconds.items()}
