"""The engines there are, by name. Nothing of an engine is loaded before it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_inspect.edge.engines.tensorrt.needs import look_for_tensorrt
from edge_inspect.edge.finding import Finding


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


ENGINES: dict[str, EngineKind] = {
    kind.name: kind
    for kind in (
        EngineKind("openvino", "any processor", "openvino:OpenVinoEngine"),
        EngineKind(
            "tensorrt", "NVIDIA GPUs", "tensorrt.cached:CachedTensorRtEngine", built=True, look=look_for_tensorrt
        ),
    )
}
"""The first runs on every box. Of those that can run on a box, the service takes the last unless told otherwise."""

EVERYWHERE = next(iter(ENGINES))
"""The engine that runs on every box: the reference, whose maps the golden frames have."""

DEFAULT = " or ".join([*reversed(ENGINES)][:-1]) + f" where it can run here, else {EVERYWHERE}"
"""Which engine runs where none is chosen, in words."""
