"""Engines: they turn a frame into an anomaly map. Each is one file, behind the interface in this one.

To add one, write a file with its class, usually a `FittedEngine`, and add its line to registry.py. The command lines,
the configuration, `doctor`, `bench`, `selftest`, `calibrate` and the manifest read the registry.

registry.py        all engines
loading.py         imports the class of an engine when it is needed
name.py            the type of an engine's name in configurations and manifests
base.py            the steps that all engines share: fit, tiles, score, close
opening.py         chooses, opens and checks an engine, and falls back to the next one if it fails
trial.py           times the precisions of a bundle on this box
trial_process.py   runs that in a process of its own
chosen_once.py     keeps the result, and repeats no trial that crashed
choice.py          chooses the precision by these times
choice_file.py     the record of the choices on this box
golden.py          compares an engine's maps of the golden frames with the bundle's
openvino.py        the engine for any processor
openvino_graph.py  the graph that it compiles
openvino_slot.py   a request of OpenVINO with its input and output
second_engine.py   a second engine for frames that wait
memory_probe.py    the float32 network, opened where a memory compares
openvino_sums.py   computes residual additions in INT8 inside convolutions, for OpenVINO on AMX
openvino_cache.py  keeps networks that OpenVINO has compiled
openvino_layers.py  counts the layers that OpenVINO computes as INT8 on this box
openvino_times.py  reads the time of each kind of layer from OpenVINO
tensorrt/          the engine for NVIDIA GPUs

This file and registry.py import only the standard library at run time, because command lines and `doctor` read both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from edge_inspect.edge.bundle.bundle import Bundle
    from edge_inspect.edge.contract.fields import Precision
    from edge_inspect.edge.frame.images import Frame
    from edge_inspect.edge.frame.placement import Placement


@dataclass(frozen=True)
class AnomalyMap:
    """An engine's result for one frame.

    Attributes:
        values: Anomaly map, (height, width) float32, of the size of the fit's canvas. It is valid until the engine's
            next call.
        placement: Position of the canvas in the frame.
        score: The bundle's statistic of the map, over the area that shows the frame and is looked at; infinite if the
            part was not found in the frame.
    """

    values: NDArray[np.float32]
    placement: Placement
    score: float


class BegunMap(Protocol):
    """The anomaly map of a frame, which an engine is computing."""

    @property
    def engine(self) -> Engine:
        """The engine that was asked for it."""

    @property
    def at_a_time(self) -> int:
        """Number of frames that may be begun before the first of them is read."""

    def wait(self) -> AnomalyMap | None:
        """Wait for the map and return it; it is valid until the engine begins the next frame.

        Returns:
            The map; `None` if it is lost, because too many others were begun after it.

        Raises:
            EngineError: The engine failed, or its result is not finite.
        """


@dataclass(frozen=True)
class LayerTime:
    """Time that an engine spends in layers of one kind for one tile.

    Attributes:
        part: Where the layers are: `input` before the network, `network`, or `head` behind it.
        kind: Kind of the layers and type in which they compute, in the engine's own words, such as `Convolution i8`.
        layers: Number of layers.
        ms: Their time together, in milliseconds.
    """

    part: Literal["input", "network", "head"]
    kind: str
    layers: int
    ms: float


class Engine(Protocol):
    """An engine that turns frames into anomaly maps for one bundle. As a context manager it closes itself at the end.

    Only one thread at a time may call `infer` and `begin`, and the engine must not be closed while they run.

    Attributes:
        name: Name in the registry.
        precision: Precision in which it computes.
    """

    name: str
    precision: Precision

    @property
    def networks(self) -> int:
        """Number of networks that it holds in memory: one, or two if it can compute several frames at a time."""

    @classmethod
    def check_box(cls) -> None:
        """Check that this box can run the engine.

        Raises:
            EngineError: It cannot; the message has the remedy.
        """

    @classmethod
    def unsupported(cls, precision: Precision) -> str:
        """Return the reason why the engine cannot compute in a precision on this box; an empty text if it can."""

    @classmethod
    def version(cls) -> str:
        """Return the version of the software that computes. Precisions are timed again when it changes."""

    @classmethod
    def load(cls, bundle: Bundle, precision: Precision, *, threads: int = 0, cache: Path | None = None) -> Engine:
        """Return an engine for one precision of a bundle, ready for the first frame.

        Args:
            bundle: The bundle.
            precision: The precision whose model runs.
            threads: Number of processor threads to use; 0 means all. Engines for other devices ignore it.
            cache: Folder for what is compiled on the box; without one, the engine chooses it, or keeps nothing.

        Raises:
            EngineError: The engine cannot be built on this box.
            BundleError: The bundle does not have the precision.
        """

    def infer(self, frame: Frame) -> AnomalyMap:
        """Return the anomaly map of a frame of any size.

        Raises:
            EngineError: The engine failed or is closed, or its result is not finite.
        """

    def prepare_several(self) -> bool:
        """Get ready to compute several frames at a time; return whether the engine can. It may take a second.

        Without this, an engine gets ready by itself once `begin` was called often.
        """

    def begin(self, frame: Frame) -> BegunMap | None:
        """Begin to compute the map of a frame while others wait, and return at once.

        Maps are read in the order in which they were begun, each before `at_a_time` further ones are begun; later it is
        lost. One that is not needed any more need not be read. A frame alone is computed faster by `infer`.

        Returns:
            The map; `None` if the engine computes one frame at a time, or is not ready for several yet.

        Raises:
            EngineError: The engine failed or is closed.
        """

    def network_alone(self, bundle: Bundle) -> Callable[[], object]:
        """Return a function that runs only what the engine has compiled: `bench` compares with its time.

        It computes one tile, on whatever its input holds. No tile can take less time.

        Args:
            bundle: Bundle from which the engine was loaded.

        Raises:
            EngineError: It cannot be built.
        """

    def layer_times(self, bundle: Bundle, tile: Frame, runs: int) -> list[LayerTime]:
        """Return the mean time of each kind of layer, longest first within a part; an empty list if it is unknown.

        Args:
            bundle: Bundle from which the engine was loaded.
            tile: Picture of the size of the network's input, (height, width, 3) uint8.
            runs: How often the tile is computed.

        Raises:
            EngineError: The engine failed.
        """

    def close(self) -> None:
        """Release memory and device. It may be called more than once."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class BuiltEngine(Engine, Protocol):
    """An engine whose build on the box takes minutes, so it is kept there. `calibrate compile` builds it beforehand."""

    @classmethod
    def build(
        cls, bundle: Bundle, precision: Precision, *, cache: Path | None, workspace_mb: int | None, again: bool
    ) -> tuple[Engine, Path]:
        """Return the engine, from the cache or built now, and its path in the cache.

        Args:
            bundle: The bundle.
            precision: The precision whose model runs.
            cache: Folder of the cache; without one, the default of `load`.
            workspace_mb: Device memory that the build may use, in MiB; without a number, the default of `load`.
            again: Whether to build the engine even if the cache has it or has a record that it was refused.

        Raises:
            EngineError: The engine cannot be built on this box.
            DriftError: The engine, built now or before, does not reproduce the golden frames.
            BundleError: The bundle does not have the precision.
        """
