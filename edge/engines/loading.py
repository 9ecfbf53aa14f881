"""Import the class of an engine at the moment when it is needed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from edge_inspect.edge.engines.registry import ENGINES, EVERYWHERE
from edge_inspect.edge.errors import EngineError

if TYPE_CHECKING:
    from edge_inspect.edge.engines import BuiltEngine, Engine


def engine_class(name: str) -> type[Engine]:
    """Return the class of an engine.

    Raises:
        EngineError: There is no engine of that name, or a package that it needs does not load.
    """
    if name not in ENGINES:
        raise EngineError(f"engine {name!r} is unknown; there are {', '.join(ENGINES)}")
    try:
        module, _, found = ENGINES[name].source.partition(":")
        return cast("type[Engine]", getattr(importlib.import_module(f"edge_inspect.edge.engines.{module}"), found))
    except ImportError as error:
        if name == EVERYWHERE:  # all commands report a missing package of this engine in one way
            raise
        raise EngineError(
            f"the engine {name} cannot be loaded: {error}; edge-inspect doctor says what it needs"
        ) from error


def built_engine_class(name: str) -> type[BuiltEngine]:
    """Return the class of an engine that is built on the box and kept there.

    Raises:
        EngineError: There is no engine of that name, or it needs no build.
    """
    found = engine_class(name)
    if not ENGINES[name].built:
        raise EngineError(f"the engine {name} is not built beforehand: it is ready as soon as a bundle is opened")
    return cast("type[BuiltEngine]", found)
