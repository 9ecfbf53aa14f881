"""An engine for a bundle: chosen by name or by what the box has, checked on the golden frames, else the next one."""

from __future__ import annotations

import logging
from pathlib import Path

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines import Engine
from edge_inspect.edge.engines.golden import check_golden
from edge_inspect.edge.engines.loading import engine_class
from edge_inspect.edge.engines.registry import ENGINES, EVERYWHERE
from edge_inspect.edge.errors import EngineError

log = logging.getLogger(__name__)


def open_engine(
    bundle: Bundle,
    precision: Precision | None = None,
    *,
    engine: str | None = None,
    threads: int = 0,
    cache: Path | None = None,
) -> Engine:
    """Build an engine for a bundle.

    Args:
        bundle: The bundle.
        precision: Which of its precisions; without one, the first that the bundle names for the engine.
        engine: Which engine of the registry; without one, `best_engine`.
        threads: See `edge.engines.Engine.load`, as of the next.
        cache: The folder of the engines that are built here.

    Raises:
        EngineError: It cannot be built here.
        BundleError: The bundle has no such precision.
    """
    name = engine or best_engine()
    wanted = precision or bundle.manifest.order_of(name)[0]
    # Importing an engine takes a tenth of a second and more: only who infers pays, and only for the engine that runs.
    chosen = engine_class(name)
    if missing := chosen.unsupported(wanted):
        raise EngineError(f"{bundle.path}: {missing}")
    return chosen.load(bundle, wanted, threads=threads, cache=cache)


def usable_engines() -> list[str]:
    """Return the engines that this box can run, in the registry's order; the first is one that every box can run."""
    return [EVERYWHERE, *(name for name in ENGINES if name != EVERYWHERE and _can_run(name))]


def best_engine() -> str:
    """Return the engine that runs where none is chosen: the last of the registry that this box can run."""
    return next((name for name in reversed(ENGINES) if name == EVERYWHERE or _can_run(name)), EVERYWHERE)


def _can_run(name: str) -> bool:
    try:
        engine_class(name).check_box()
    except EngineError as error:
        log.debug("the engine %s cannot run here: %s", name, error)
        return False
    return True


def open_checked_engine(
    bundle: Bundle,
    precision: Precision | None = None,
    *,
    engine: str | None = None,
    threads: int = 0,
    cache: Path | None = None,
) -> Engine:
    """Build an engine that reproduces the golden frames.

    One that does not, or cannot be built, is refused with a warning, and the next is tried: where no precision is asked
    for, those that follow in the bundle's order for the engine; where no engine is asked for, the other engines that
    this box can run, down to the one for every box. Arguments as of `open_engine`.

    Raises:
        EngineError: None does.
        BundleError: The bundle has no such precision.
    """
    names = [engine] if engine else [*reversed(usable_engines())]
    candidates = [(name, each) for name in names for each in fall_back(bundle, precision, name)]
    for (name, candidate), following in zip(candidates, candidates[1:], strict=False):
        try:
            return _checked(bundle, candidate, name, threads, cache)
        except EngineError as error:
            log.warning("%s; trying %s on %s", error, following[1], following[0])
    name, candidate = candidates[-1]
    return _checked(bundle, candidate, name, threads, cache)


def fall_back(bundle: Bundle, precision: Precision | None, engine: str) -> list[Precision]:
    """Return the precisions to try, in turn: the one asked for alone, or those of the bundle's order for the engine."""
    return [precision] if precision else bundle.manifest.order_of(engine)


def _checked(bundle: Bundle, precision: Precision, name: str, threads: int, cache: Path | None) -> Engine:
    engine = open_engine(bundle, precision, engine=name, threads=threads, cache=cache)
    try:
        check_golden(bundle, engine)
    except BaseException:
        engine.close()
        raise
    return engine
