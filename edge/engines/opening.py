"""Choose an engine by name or by what the box can run, open it and check it; fall back to the next one if it fails."""

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
    """Open an engine for a bundle.

    Args:
        bundle: The bundle.
        precision: Precision to run; without one, the first in the bundle's order for the engine.
        engine: Name of the engine in the registry; without one, `best_engine`.
        threads: Number of processor threads to use; 0 means all. Engines for other devices ignore it.
        cache: Folder for engines that are built on the box; without one, the engine chooses it.

    Raises:
        EngineError: The engine cannot be built on this box.
        BundleError: The bundle does not have the precision.
    """
    name = engine or best_engine()
    wanted = precision or bundle.manifest.order_of(name)[0]
    # Importing an engine takes a tenth of a second or more. So it is imported only here, and only if it is used.
    chosen = engine_class(name)
    if missing := chosen.unsupported(wanted):
        raise EngineError(f"{bundle.path}: {missing}")
    return chosen.load(bundle, wanted, threads=threads, cache=cache)


def usable_engines() -> list[str]:
    """Return the engines that this box can run, in the registry's order. The first one runs on every box."""
    return [EVERYWHERE, *(name for name in ENGINES if name != EVERYWHERE and _can_run(name))]


def best_engine() -> str:
    """Return the engine that runs if none is chosen: the last one in the registry that this box can run."""
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
    first: Precision | None = None,
    engine: str | None = None,
    threads: int = 0,
    cache: Path | None = None,
) -> Engine:
    """Open an engine that reproduces the golden frames.

    If an engine cannot be built or does not reproduce them, a warning is logged and the next candidate is tried.
    Without `precision` the candidates are `first` and the precisions in the bundle's order for the engine. Without
    `engine` they also include the other engines that this box can run, and the one that runs on every box comes last.

    Args:
        bundle: The bundle.
        precision: The only precision to run.
        first: Precision to try first if `precision` is not given, such as the one that this box has chosen.
        engine: Name of the engine in the registry; without one, all that this box can run.
        threads: Number of processor threads to use; 0 means all. Engines for other devices ignore it.
        cache: Folder for engines that are built on the box; without one, the engine chooses it.

    Raises:
        EngineError: No candidate reproduces the golden frames.
        BundleError: The bundle does not have the precision.
    """
    names = [engine] if engine else [*reversed(usable_engines())]
    candidates = [(name, each) for name in names for each in fall_back(bundle, precision, name)]
    if first is not None and precision is None:
        candidates = [(names[0], first), *(each for each in candidates if each != (names[0], first))]
    for (name, candidate), following in zip(candidates, candidates[1:], strict=False):
        try:
            return _checked(bundle, candidate, name, threads, cache)
        except EngineError as error:
            log.warning("%s; trying %s on %s", error, following[1], following[0])
    name, candidate = candidates[-1]
    return _checked(bundle, candidate, name, threads, cache)


def fall_back(bundle: Bundle, precision: Precision | None, engine: str) -> list[Precision]:
    """Return the precisions to try: only the requested one or, without one, the bundle's order for the engine."""
    return [precision] if precision else bundle.manifest.order_of(engine)


def _checked(bundle: Bundle, precision: Precision, name: str, threads: int, cache: Path | None) -> Engine:
    engine = open_engine(bundle, precision, engine=name, threads=threads, cache=cache)
    try:
        check_golden(bundle, engine)
    except BaseException:
        engine.close()
        raise
    return engine
