"""Engines for this box, built from a bundle and checked on its golden frames, with the next precision if one fails."""

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
from edge_inspect.edge.engines.loading import built_engine_class
from edge_inspect.edge.engines.opening import fall_back
from edge_inspect.edge.errors import CheckFailed, EngineError

TIMED_RUNS = 50


@dataclass(frozen=True)
class Attempt:
    """The outcome for one precision.

    Attributes:
        precision: The precision that was tried.
        ok: Whether a station may run the engine.
        golden: Largest difference of a golden map's value; `None` if no engine was built.
        allowed: Difference that the manifest allows.
        latency_ms: Median time from frame to map in milliseconds; `None` if the engine was not run.
        detail: Error, or place where the engine is stored.
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
"""Returns an engine of a precision, and a text about it, such as where it is stored."""


def try_in_turn(
    bundle: Bundle, precision: Precision | None, engine: str, open_one: Open, say: Callable[[str], None]
) -> list[Attempt]:
    """Open engines until one reproduces the golden frames, and report the outcome of each.

    Args:
        bundle: The bundle.
        precision: The only precision to try; by default the bundle's precisions for the engine, in their order.
        engine: Name of the engine.
        open_one: Builds an engine of a precision.
        say: Called with a line for each attempt.

    Raises:
        CheckFailed: No engine reproduces the golden frames; the message has the numbers of each.
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
    """Return a function that builds engines from the bundle's ONNX as the service does, into the same cache.

    Args:
        name: Name of an engine of the registry that is built on the box.
        bundle: The bundle.
        cache: Folder for engines; see `edge.engines.BuiltEngine.build`.
        workspace_mb: MiB of the device's memory that the build may use.
        again: Build even if there is an engine already.

    Raises:
        EngineError: This box cannot run the engine, or the engine is not one that is built.
    """
    chosen = built_engine_class(name)
    chosen.check_box()

    def open_one(precision: Precision) -> tuple[Engine, str]:
        engine, where = chosen.build(bundle, precision, cache=cache, workspace_mb=workspace_mb, again=again)
        return engine, str(where)

    return open_one
