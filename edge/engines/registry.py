"""The engines there are, by name. Nothing of an engine is loaded before it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from edge_inspect.edge.engines.tensorrt.needs import look_for_tensorrt
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.finding import Finding

if TYPE_CHECKING:
    from edge_inspect.edge.engines import BuiltEngine, Engine


@dataclass(frozen=True)
class EngineKind:
    """An engine, as it is known before it is loaded.

    Attributes:
        name: As `--engine`, the configuration, verdicts and the manifest's `order` name it.
        runs_on: What it runs on, for people.
        source: The module in this package and the class in it, `MODULE:CLASS`; the class is an `Engine`.
        built: The class is a `BuiltEngine`.
        look: Returns what `doctor` says of packages and programs that this engine alone needs. It imports nothing but
            the standard library before it is called.
    """

    name: str
    runs_on: str
    source: str
    built: bool = False
    look: Callable[[], list[Finding]] = list

    def load(self) -> type[Engine]:
        """Import the engine's class.

        Raises:
            ImportError: A package that it needs is missing.
        """
        module, _, name = self.source.partition(":")
        return cast("type[Engine]", getattr(importlib.import_module(f"edge_inspect.edge.engines.{module}"), name))


ENGINES: dict[str, EngineKind] = {
    kind.name: kind
    for kind in (
        EngineKind("openvino", "any processor", "openvino:OpenVinoEngine"),
        EngineKind("tensorrt", "NVIDIA GPUs", "tensorrt.engine:TensorRtEngine", built=True, look=look_for_tensorrt),
    )
}
"""The first runs on every box. Of those that can run on a box, the service takes the last unless told otherwise."""

EVERYWHERE = next(iter(ENGINES))
"""The engine that runs on every box: the reference, whose maps the golden frames have."""

DEFAULT = " or ".join([*reversed(ENGINES)][:-1]) + f" where it can run here, else {EVERYWHERE}"
"""Which engine runs where none is chosen, in words."""


def engine_class(name: str) -> type[Engine]:
    """Return an engine's class.

    Raises:
        EngineError: There is none of that name, or a package that it needs does not load.
    """
    if name not in ENGINES:
        raise EngineError(f"engine {name!r} is unknown; there are {', '.join(ENGINES)}")
    try:
        return ENGINES[name].load()
    except ImportError as error:
        if name == EVERYWHERE:  # what every box needs is told in the same way by all commands
            raise
        raise EngineError(
            f"the engine {name} cannot be loaded: {error}; edge-inspect doctor says what it needs"
        ) from error


def built_engine_class(name: str) -> type[BuiltEngine]:
    """Return the class of an engine that is built on the box and kept there.

    Raises:
        EngineError: There is none of that name, or nothing of it is kept.
    """
    found = engine_class(name)
    if not ENGINES[name].built:
        raise EngineError(f"the engine {name} is not built beforehand: it is ready as soon as a bundle is opened")
    return cast("type[BuiltEngine]", found)
