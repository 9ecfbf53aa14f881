from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import Manifest, MapOutput
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.discrepancy import EPSILON, head_matrix
from edge_inspect.edge.engines import LayerTime
from edge_inspect.edge.engines.base import FittedEngine
from edge_inspect.edge.engines.openvino_cache import KeptNetwork, compiled_file, find_compiled, keep_compiled
from edge_inspect.edge.engines.openvino_sums import Sums, fuses_sums, round_sums
from edge_inspect.edge.engines.openvino_times import layer_names, layer_times, parts_around
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.images import Frame

log = logging.getLogger(__name__)

CORE = ov.Core()
"""The only OpenVINO core of the process. It lives as long as the process.

OpenVINO's CPU plugin gives the thread that first compiles a model a signal stack, and frees that memory with the last
core. If another thread released the last core, the next signal to the first thread would kill the process, because
Python handles signals on that stack (seen with OpenVINO 2026.4 and SIGTERM).
"""


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

    Raises:
        EngineError: OpenVINO cannot read or compile the model, or `precision` is bf16 on a processor without it.
        BundleError: The bundle does not have the precision.
    """

    name = "openvino"

    def __init__(
        self, bundle: Bundle, precision: Precision, *, threads: int = 0, exact: bool = True, cache: Path | None = None
    ) -> None:
        super().__init__(bundle, precision)
        self._threads = threads
        self._computes = None if not exact else "bf16" if precision == "bf16" else "f32"
        if missing := self.unsupported(precision):
            raise EngineError(f"{bundle.path}: {missing}")
        self._kept: KeptNetwork | None = None
        file = compiled_file(cache, bundle, precision, threads) if cache is not None and exact else None
        try:
            self._request = self._open(bundle, file).create_infer_request()
        except RuntimeError as error:
            why = " ".join(str(error).split())
            raise EngineError(f"{bundle.path}: OpenVINO cannot build the {precision} model: {why}") from error
        # Input and output are written in place, so that no tensor is created per frame.
        self._input = self._request.get_input_tensor().data
        self._output: NDArray[np.float32] = self._request.get_output_tensor().data.reshape(
            self._fit.height, self._fit.width
        )

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
        return cls(bundle, precision, threads=threads, cache=cache)

    def network_alone(self, bundle: Bundle) -> Callable[[], object]:
        """Return a function that runs the compiled graph with its head, on whatever the engine's input holds."""
        infer: Callable[[], object] = self._request.infer
        return infer

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
                compiled = CORE.import_model(kept.tensor, "CPU", _options(self._threads, self._computes))
            except RuntimeError as error:
                why = " ".join(str(error).split())
                log.warning("%s: OpenVINO cannot use it: %s; the network is compiled again", file, why)
            else:
                kept.release_pages()
                self._kept = kept
                return compiled
        model = with_head(read_network(bundle, self.precision), bundle.manifest)
        compiled = compile_model(model, self._threads, self._computes)
        if file is not None:
            keep_compiled(file, compiled.export_model().getvalue())
        return compiled

    def _release(self) -> None:
        del self._request, self._input, self._output
        self._kept = None  # only now, because the request reads from it

    def _maps(self, tiles: Iterable[Frame]) -> Iterator[NDArray[np.float32]]:
        return map(self._infer_tile, tiles)

    def _infer_tile(self, tile: Frame) -> NDArray[np.float32]:
        self._input[0] = tile
        try:
            self._request.infer()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on a frame: {error}") from error
        return self._output


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
    model: ov.Model, threads: int = 0, computes: str | None = "f32", *, profiled: bool = False
) -> ov.CompiledModel:
    """Return the model compiled for the CPU and the shortest latency of a single frame.

    Args:
        model: The network.
        threads: Number of processor threads; 0 means all.
        computes: Type in which layers that are not INT8 are computed, `f32` or `bf16`; without one, `default_type`.
        profiled: Whether the model notes the time of every layer, which costs a little time itself.
    """
    options = _options(threads, computes)
    if profiled:
        options["PERF_COUNT"] = "YES"
    return CORE.compile_model(model, "CPU", options)


def _options(threads: int, computes: str | None) -> dict[str, str]:
    options = {"PERFORMANCE_HINT": "LATENCY"}
    if computes is not None:
        options["INFERENCE_PRECISION_HINT"] = computes
    if threads:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    return options


def with_head(network: ov.Model, manifest: Manifest) -> ov.Model:
    """Return the network with normalisation and discrepancy head: (1, H, W, 3) uint8 BGR to (H, W) float32."""
    fit = manifest.input.fit
    frame = ops.parameter([1, fit["height"], fit["width"], 3], np.uint8, name="frame")
    image = network.input(manifest.input.name)
    normalised = _normalise(frame, manifest.input.mean, manifest.input.std)
    for consumer in image.get_target_inputs():
        consumer.replace_source_output(normalised.output(0))
    outputs = {name: output for output in network.outputs for name in output.get_names()}

    def features(names: Sequence[str]) -> list[ov.Output]:
        return [outputs[name].get_node().input_value(0) for name in names]

    named = manifest.outputs
    if isinstance(named, MapOutput):
        maps = features([named.map])
    else:
        pairs = zip(features(named.teacher), features(named.student), strict=True)
        maps = [_cosine_distance(t, s).output(0) for t, s in pairs]
    anomaly = _head(maps, (fit["height"], fit["width"]), manifest.decision.sigma)
    return ov.Model([anomaly], [frame], "edge-inspect")


def _normalise(frame: ov.Node, mean: Sequence[float], std: Sequence[float]) -> ov.Node:
    """Return uint8 BGR, channels last, as float32 RGB, channels first, with one multiply-add per value.

    The operations work on whole rows, with the three values of a pixel side by side, so that they fill the processor's
    vectors. The transpose after them costs nothing, because the plugin's convolutions read channels last.
    """
    _, height, width, _ = frame.shape
    scale = (1 / (255 * np.array(std, np.float32)))[::-1]
    shift = (-np.array(mean, np.float32) / np.array(std, np.float32))[::-1]
    rows = ops.convert(ops.reshape(frame, np.array([1, height, 3 * width], np.int64), special_zero=False), np.float32)
    bgr = ops.add(ops.multiply(rows, np.tile(scale, width)), np.tile(shift, width))
    pixels = ops.reshape(bgr, np.array([1, height, width, 3], np.int64), special_zero=False)
    rgb = ops.gather(pixels, np.array([2, 1, 0], np.int64), np.int64(3))
    return ops.transpose(rgb, np.array([0, 3, 1, 2], np.int64))


def _head(maps: list[ov.Output], size: tuple[int, int], sigma: float) -> ov.Node:
    """Return (1, 1, h, w) maps upsampled to (H, W), summed and blurred, by matrix products (edge/discrepancy.py)."""
    tall, right = [], []
    for output in maps:
        _, _, height, width = output.get_shape()
        plane = ops.reshape(output, np.array([height, width], np.int64), special_zero=False)
        tall.append(ops.matmul(head_matrix(height, size[0], sigma), plane, False, False))
        right.append(head_matrix(width, size[1], sigma))
    return ops.matmul(ops.concat(tall, 1), np.concatenate(right, 1), False, True)


def _cosine_distance(t: ov.Output, s: ov.Output) -> ov.Node:
    channels = np.array([1], np.int64)

    def norm(a: ov.Output) -> ov.Node:
        return ops.maximum(ops.reduce_l2(a, channels, True), np.float32(EPSILON))

    products = ops.reduce_sum(ops.multiply(t, s), channels, True)
    return ops.subtract(np.float32(1), ops.divide(products, ops.multiply(norm(t), norm(s))))
