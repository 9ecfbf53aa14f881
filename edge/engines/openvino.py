from __future__ import annotations

import functools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines import AnomalyMap, BegunMap, LayerTime
from edge_inspect.edge.engines.base import FittedEngine
from edge_inspect.edge.engines.golden import check_golden
from edge_inspect.edge.engines.openvino_cache import KeptNetwork, compiled_file, find_compiled, keep_compiled
from edge_inspect.edge.engines.openvino_graph import with_head
from edge_inspect.edge.engines.openvino_slot import Slot
from edge_inspect.edge.engines.openvino_sums import Sums, fuses_sums, round_sums
from edge_inspect.edge.engines.openvino_times import layer_names, layer_times, parts_around
from edge_inspect.edge.engines.second_engine import SecondEngine
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.images import Frame

log = logging.getLogger(__name__)

CORE = ov.Core()
"""The only OpenVINO core of the process. It lives as long as the process.

OpenVINO's CPU plugin gives the thread that first compiles a model a signal stack, and frees that memory with the last
core. If another thread released the last core, the next signal to the first thread would kill the process, because
Python handles signals on that stack (seen with OpenVINO 2026.4 and SIGTERM).
"""


MOST_AT_ONCE = 4
"""Number of tiles that are computed at once at most. Each needs memory of its own."""


class OpenVinoEngine(FittedEngine):
    """The engine for any CPU: normalisation, network and discrepancy head are one OpenVINO graph.

    It runs the bundle's ONNX of the precision. Layers that are not INT8 are computed in float32. OpenVINO by itself
    would choose bfloat16 on processors that have it. Because bfloat16 changes scores, it is a precision of its own,
    `bf16`, with its own thresholds.

    Args:
        bundle: The bundle.
        precision: The precision whose model runs.
        threads: Number of processor threads; 0 means all.
        exact: Whether the precision decides the type of layers that are not INT8. If `False`, OpenVINO chooses it; that
            serves comparisons.
        cache: Folder where the compiled network is kept for the next time; without one, it is not kept.
        several: Whether it computes several tiles at a time, each on fewer threads: more in a second, but a single one
            takes longer.

    Raises:
        EngineError: OpenVINO cannot read or compile the model, or `precision` is bf16 on a processor without it.
        BundleError: The bundle does not have the precision.
    """

    name = "openvino"

    def __init__(
        self,
        bundle: Bundle,
        precision: Precision,
        *,
        threads: int = 0,
        exact: bool = True,
        cache: Path | None = None,
        several: bool = False,
    ) -> None:
        super().__init__(bundle, precision)
        self._threads, self._several = threads, several
        self._computes = None if not exact else "bf16" if precision == "bf16" else "f32"
        if missing := self.unsupported(precision):
            raise EngineError(f"{bundle.path}: {missing}")
        self._kept: KeptNetwork | None = None
        file = compiled_file(cache, bundle, precision, threads, several) if cache is not None and exact else None
        try:
            network = self._open(bundle, file)
            # One more than are computed at once, so that the next one waits in OpenVINO while a map is read.
            at_a_time = network.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1 if several else 1
            self._slots = deque(Slot(network) for _ in range(at_a_time))
        except RuntimeError as error:
            why = " ".join(str(error).split())
            raise EngineError(f"{bundle.path}: OpenVINO cannot build the {precision} model: {why}") from error
        self._second = SecondEngine(lambda: _open_second(bundle, precision, threads, cache))

    @classmethod
    def unsupported(cls, precision: Precision) -> str:
        """Return the reason why the engine cannot compute in a precision on this processor; an empty text if it can."""
        if precision != "bf16" or default_type() == "bf16":
            return ""
        return "bf16 needs a processor with bfloat16 instructions; this one has none"

    @classmethod
    def version(cls) -> str:
        """Return the version of OpenVINO."""
        return str(ov.__version__)

    @classmethod
    def load(
        cls, bundle: Bundle, precision: Precision, *, threads: int = 0, cache: Path | None = None
    ) -> OpenVinoEngine:
        """Return an engine for one precision of a bundle; with `cache`, its compiled network is kept there."""
        return cls(bundle, precision, threads=threads, cache=cache, several=bundle.fit.grid.count > 1)

    @property
    def networks(self) -> int:
        """Number of networks in memory: two as soon as there is a second engine."""
        return 1 + self._second.is_open

    def prepare_several(self) -> bool:
        """Open the second engine; return whether there is one."""
        if not self._several and not self._second.is_open:
            self._second.open()
        return self._second.is_open

    def begin(self, frame: Frame) -> BegunMap | None:
        """Begin to compute the map of a frame in the second engine; see `Engine`.

        A bundle with tiles has no second engine: its engine computes several tiles of one frame at a time.
        """
        self._check_open()
        second = None if self._several else self._second.ask()
        if second is None:
            return None
        return second.begin_for(self, frame)

    def begin_for(self, engine: OpenVinoEngine, frame: Frame) -> BegunSlot:
        """Begin to compute the map of a frame in a slot, for an engine whose second engine this is.

        Raises:
            EngineError: The engine failed or is closed.
        """
        image, placement = self._fit.apply(frame)
        wait = self._begin(image)

        def result() -> AnomalyMap | None:
            values = wait()
            return None if values is None else self._scored(values, placement)

        return BegunSlot(engine, len(self._slots), result)

    def network_alone(self, bundle: Bundle) -> Callable[[], object]:
        """Return a function that runs the compiled graph with its head, on whatever the engine's input holds."""
        return self._slots[0].compute

    def layer_times(self, bundle: Bundle, tile: Frame, runs: int) -> list[LayerTime]:
        """Return the time of each kind of layer of a second copy of the graph, which notes times; see `Engine`."""
        network = read_network(bundle, self.precision)
        names = layer_names(network)
        model = with_head(network, bundle.manifest)
        parts = parts_around(model, names)
        compiled = compile_model(model, self._threads, self._computes, profiled=True)
        request = compiled.create_infer_request()
        request.get_input_tensor().data[0] = tile
        for _ in range(runs):
            request.infer()
        return layer_times(compiled.get_runtime_model(), parts)

    def _open(self, bundle: Bundle, file: Path | None) -> ov.CompiledModel:
        """Return the compiled network: from the file that keeps it, or compiled now and kept there."""
        if file is not None and (kept := find_compiled(file)) is not None:
            try:
                compiled = CORE.import_model(kept.tensor, "CPU", _options(self._threads, self._computes, self._several))
            except RuntimeError as error:
                why = " ".join(str(error).split())
                log.warning("%s: OpenVINO cannot use it: %s; the network is compiled again", file, why)
            else:
                kept.release_pages()
                self._kept = kept
                return compiled
        model = with_head(read_network(bundle, self.precision), bundle.manifest)
        compiled = compile_model(model, self._threads, self._computes, several=self._several)
        if file is not None:
            keep_compiled(file, compiled.export_model().getvalue())
        return compiled

    def _release(self) -> None:
        self._second.close()
        for slot in self._slots:
            slot.end()
        self._slots.clear()
        self._kept = None  # only now, because the requests read from it

    def _maps(self, tiles: Iterable[Frame]) -> Iterator[NDArray[np.float32]]:
        return self._maps_ahead(tiles) if self._several else map(self._compute, tiles)

    def _compute(self, tile: Frame) -> NDArray[np.float32]:
        slot = self._slots[0]
        slot.input[:] = tile
        return slot.compute()

    def _maps_ahead(self, tiles: Iterable[Frame]) -> Iterator[NDArray[np.float32]]:
        begun: deque[Callable[[], NDArray[np.float32] | None]] = deque()
        for tile in tiles:
            if len(begun) == len(self._slots):
                yield _unless_lost(begun.popleft()())
            begun.append(self._begin(tile))
        while begun:
            yield _unless_lost(begun.popleft()())

    def _begin(self, tile: Frame) -> Callable[[], NDArray[np.float32] | None]:
        """Begin to compute the map of a tile, in the slot whose last one was begun before those of the others."""
        self._check_open()
        slot = self._slots[0]
        self._slots.rotate(-1)
        return functools.partial(slot.wait, slot.begin(tile))


@dataclass(frozen=True)
class BegunSlot:
    """A map that is being computed in a slot; see `BegunMap`.

    Attributes:
        engine: The engine that was asked for it.
        at_a_time: Number of frames that may be begun before the first of them is read.
        result: Waits for the map and returns it; `None` if it is lost.
    """

    engine: OpenVinoEngine
    at_a_time: int
    result: Callable[[], AnomalyMap | None]

    def wait(self) -> AnomalyMap | None:
        """Wait for the map and return it."""
        return self.result()


def _unless_lost(values: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if values is None:
        raise EngineError("the engine was used for another frame before this one was ready")
    return values


def _open_second(bundle: Bundle, precision: Precision, threads: int, cache: Path | None) -> OpenVinoEngine:
    engine = OpenVinoEngine(bundle, precision, threads=threads, cache=cache, several=True)
    try:
        check_golden(bundle, engine)
    except BaseException:
        engine.close()
        raise
    return engine


def _warn_of_missed(sums: Sums, bundle: Bundle) -> None:
    if sums.missed:
        log.warning(
            "%s: OpenVINO %s builds %d of %d residual sums of the INT8 network in a form that this program does not "
            "know; they are computed in float, which takes longer",
            bundle.path,
            ov.__version__,
            sums.missed,
            sums.missed + sums.rounded,
        )


def read_onnx(bundle: Bundle, precision: Precision) -> ov.Model:
    """Return the bundle's network as an OpenVINO model with batch size 1."""
    path = bundle.model_path(precision)
    return CORE.read_model(str(path)) if path is not None else CORE.read_model(BytesIO(bundle.model(precision)))


def read_network(bundle: Bundle, precision: Precision) -> ov.Model:
    """Return the bundle's network as it is compiled: on processors that gain by it, INT8 adds inside convolutions."""
    network = read_onnx(bundle, precision)
    if precision == "int8" and fuses_sums():
        _warn_of_missed(round_sums(network), bundle)
    return network


def default_type() -> str:
    """Return the type in which OpenVINO computes float networks here by default: `f32`, `bf16` or `f16`."""
    return str(CORE.get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name())


def compile_model(
    model: ov.Model,
    threads: int = 0,
    computes: str | None = "f32",
    *,
    several: bool = False,
    profiled: bool = False,
) -> ov.CompiledModel:
    """Return the model compiled for the CPU and the shortest latency of a single frame, or for several at a time.

    Args:
        model: The network.
        threads: Number of processor threads; 0 means all.
        computes: Type in which layers that are not INT8 are computed, `f32` or `bf16`; without one, `default_type`.
        several: Whether several frames are computed at a time.
        profiled: Whether the model notes the time of every layer, which costs a little time itself.
    """
    options = _options(threads, computes, several)
    if profiled:
        options["PERF_COUNT"] = "YES"
    return CORE.compile_model(model, "CPU", options)


def _options(threads: int, computes: str | None, several: bool) -> dict[str, str]:
    options = {"PERFORMANCE_HINT": "LATENCY"}
    if several:
        # Threads that are bound to a processor would share it with those of another bundle, and leave others idle.
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "ENABLE_CPU_PINNING": "NO"}
        options["PERFORMANCE_HINT_NUM_REQUESTS"] = str(MOST_AT_ONCE)
    if computes is not None:
        options["INFERENCE_PRECISION_HINT"] = computes
    if threads:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    return options
