"""Engines for this box from a bundle, each checked on the golden frames; the next more precise one where one fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines import Engine
from edge_inspect.edge.engines.golden import golden_difference
from edge_inspect.edge.engines.opening import fall_back
from edge_inspect.edge.engines.registry import built_engine_class
from edge_inspect.edge.errors import CheckFailed, EngineError

TIMED_RUNS = 50


@dataclass(frozen=True)
class Attempt:
    """What came of one precision.

    Attributes:
        precision: Which.
        ok: Whether a station may run it.
        golden: The largest difference of a golden map's value; `None` where no engine came about.
        allowed: What the manifest allows.
        latency_ms: The median from frame to map; `None` where it is not run.
        detail: What went wrong, or where the engine lies.
    """

    precision: Precision
    ok: bool
    golden: float | None
    allowed: float
    latency_ms: float | None
    detail: str

    def __str__(self) -> str:
        parts = [self.detail]
        if self.latency_ms is not None:
            parts.insert(0, f"{self.latency_ms:.2f} ms a frame")
        if self.golden is not None:
            parts.insert(0, f"golden maps differ by {self.golden:.2e} at most, {self.allowed:g} is allowed")
        return "; ".join(parts)


Open = Callable[[Precision], tuple[Engine, str]]
"""Gives an engine of a precision, and where it lies or what is to say of it."""


def try_in_turn(
    bundle: Bundle, precision: Precision | None, engine: str, open_one: Open, say: Callable[[str], None]
) -> list[Attempt]:
    """Open engines until one reproduces the golden frames, and say of each what came of it.

    Args:
        bundle: The bundle.
        precision: The only one to try; without one, those of the bundle's order for the engine.
        engine: Whose order that is.
        open_one: Builds an engine.
        say: Hears each attempt's line.

    Raises:
        CheckFailed: None holds; the message has the numbers of each.
    """
    attempts: list[Attempt] = []
    for candidate in fall_back(bundle, precision, engine):
        attempts.append(_attempt(bundle, candidate, open_one))
        say(f"{'ok     ' if attempts[-1].ok else 'REFUSED'}  {candidate}  {attempts[-1]}")
        if attempts[-1].ok:
            return attempts
    raise CheckFailed("; ".join(f"{attempt.precision}: {attempt}" for attempt in attempts))


def _attempt(bundle: Bundle, precision: Precision, open_one: Open) -> Attempt:
    allowed = bundle.manifest.golden.tolerance[precision]
    try:
        opened, where = open_one(precision)
        with opened as engine:
            worst = golden_difference(bundle, engine)
            ok = worst <= allowed
            return Attempt(precision, ok, worst, allowed, _latency_ms(bundle, engine) if ok else None, where)
    except EngineError as error:
        return Attempt(precision, False, None, allowed, None, str(error))


def _latency_ms(bundle: Bundle, engine: Engine) -> float:
    frames = [golden.frame for golden in bundle.golden()]
    seconds = []
    for i in range(TIMED_RUNS):
        started = time.perf_counter()
        engine.infer(frames[i % len(frames)])
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)) * 1000


def on_this_box(name: str, bundle: Bundle, cache: Path | None, workspace_mb: int, again: bool) -> Open:
    """Return what builds an engine from the bundle's ONNX, as the service does, and into the service's cache.

    Args:
        name: An engine of the registry that is built on the box.
        bundle: The bundle.
        cache: See `edge.engines.BuiltEngine.build`, as of the next two.
        workspace_mb: How much of the device's memory the build may use.
        again: Build even where there is one.

    Raises:
        EngineError: This box cannot run the engine, or nothing of it is built beforehand.
    """
    chosen = built_engine_class(name)
    chosen.check_box()

    def open_one(precision: Precision) -> tuple[Engine, str]:
        engine, where = chosen.build(bundle, precision, cache=cache, workspace_mb=workspace_mb, again=again)
        return engine, str(where)

    return open_one
