"""Engines: what turns a frame into an anomaly map. Each is one file here, behind the interface in this one.

To add one: a file with its class, usually a `FittedEngine`, and its line in registry.py. The command lines, the
configuration, `doctor`, `bench`, `selftest`, `calibrate` and the manifest read the registry.

registry.py        the engines there are
loading.py         the class of an engine is imported when it is used
name.py            an engine's name in configurations and manifests
base.py            what engines do alike: fit, tiles, score, close
opening.py         an engine is chosen, opened, checked, and replaced by the next one where it fails
golden.py          an engine's maps of the golden frames are compared with the bundle's
openvino.py        the engine for any processor
openvino_sums.py   residual additions in INT8 inside of convolutions, for OpenVINO on AMX
tensorrt/          the engine for NVIDIA GPUs

Like registry.py, this file imports nothing but the standard library: command lines and `doctor` read both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from edge_inspect.edge.bundle.bundle import Bundle
    from edge_inspect.edge.contract.fields import Precision
    from edge_inspect.edge.frame.fit import Placement
    from edge_inspect.edge.frame.images import Frame


@dataclass(frozen=True)
class AnomalyMap:
    """What an engine says of a frame.

    Attributes:
        values: The map, (height, width) float32 of the fit's canvas. Valid until the engine's next call.
        placement: Where it lies in the frame.
        score: The bundle's statistic over the part that shows the frame.
    """

    values: NDArray[np.float32]
    placement: Placement
    score: float


class Engine(Protocol):
    """Turns frames into anomaly maps for one bundle. A context manager, which closes it.

    One thread at a time may call `infer`, and nobody may close an engine that is in `infer`.

    Attributes:
        name: As in the registry.
        precision: What it computes in.
    """

    name: str
    precision: Precision

    @classmethod
    def check_box(cls) -> None:
        """Do nothing where this box can run the engine.

        Raises:
            EngineError: It cannot; the message has the remedy.
        """

    @classmethod
    def unsupported(cls, precision: Precision) -> str:
        """Return why the engine cannot compute in a precision on this box; an empty text where it can."""

    @classmethod
    def load(cls, bundle: Bundle, precision: Precision, *, threads: int = 0, cache: Path | None = None) -> Engine:
        """Return the engine of a bundle's precision, ready for the first frame.

        Args:
            bundle: The bundle.
            precision: Which of its models.
            threads: Processor threads to use; 0 is all. An engine for another device does not heed it.
            cache: The folder where an engine that is built on the box is kept; without one, the engine's own choice.

        Raises:
            EngineError: It cannot be built here.
            BundleError: The bundle has no such precision.
        """

    def infer(self, frame: Frame) -> AnomalyMap:
        """Return the anomaly map of a frame of any size.

        Raises:
            EngineError: The engine failed or is closed, or its result is not finite.
        """

    def network_alone(self, bundle: Bundle) -> Callable[[], object]:
        """Return what runs the network alone, on whatever lies in its input: the floor that `bench` compares with.

        Args:
            bundle: The bundle that the engine was loaded from.

        Raises:
            EngineError: It cannot be built.
        """

    def close(self) -> None:
        """Give back memory and device; may be called again."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class BuiltEngine(Engine, Protocol):
    """An engine that takes minutes to build on the box, and is kept there: `calibrate compile` builds it beforehand."""

    @classmethod
    def build(
        cls, bundle: Bundle, precision: Precision, *, cache: Path | None, workspace_mb: int | None, again: bool
    ) -> tuple[Engine, Path]:
        """Return the engine, from the cache or built now, and where it is kept.

        Args:
            bundle: The bundle.
            precision: Which of its models.
            cache: The folder where engines are kept; without one, that of `load`.
            workspace_mb: How much of the device's memory the build may use, in MiB; without one, that of `load`.
            again: Build even where there is one, or where one was refused.

        Raises:
            EngineError: None can be built here.
            DriftError: What was built, now or before, does not reproduce the golden frames.
            BundleError: The bundle has no such precision.
        """
