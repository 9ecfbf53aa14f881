"""All engines, by name. The code of an engine is loaded when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_inspect.edge.engines.tensorrt.needs import look_for_tensorrt
from edge_inspect.edge.finding import Finding


@dataclass(frozen=True)
class EngineKind:
    """The description of an engine. It is known before the engine's code is loaded.

    Attributes:
        name: Name of the engine for `--engine`, in the configuration, in verdicts and in the manifest's `order`.
        runs_on: Devices that it runs on, for help texts.
        source: Module in this package and class in it, as `MODULE:CLASS`. The class is an `Engine`.
        built: Whether the class is a `BuiltEngine`.
        look: Function that returns what `doctor` reports about packages and programs that only this engine needs. Its
            module must import nothing but the standard library until it is called.
    """

    name: str
    runs_on: str
    source: str
    built: bool = False
    look: Callable[[], list[Finding]] = list


ENGINES: dict[str, EngineKind] = {
    kind.name: kind
    for kind in (
        EngineKind("openvino", "any processor", "openvino:OpenVinoEngine"),
        EngineKind(
            "tensorrt", "NVIDIA GPUs", "tensorrt.cached:CachedTensorRtEngine", built=True, look=look_for_tensorrt
        ),
    )
}
"""All engines. The first runs on every box. Without a choice, the service uses the last one that this box can run."""

EVERYWHERE = next(iter(ENGINES))
"""Name of the engine that runs on every box. It is the reference: the golden frames have its maps."""

DEFAULT = " or ".join([*reversed(ENGINES)][:-1]) + f" if it can run here, else {EVERYWHERE}"
"""Words for help texts: the engine that runs if none is chosen."""
