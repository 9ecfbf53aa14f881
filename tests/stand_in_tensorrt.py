"""TensorRT and a GPU where there is neither: what is called is what the real bindings have, what is computed is real.

`tensorrt(version)` gives a module whose classes and enumerations have the members that the bindings of that release
have (edge/engines/tensorrt/releases.json here, read from the wheels) and no others. A plan is the ONNX with the release
before it; OpenVINO runs it. `HostCuda` is a device in host memory, where tests/kernels/host.py runs the kernels' own
source: nothing that is begun on a stream happens before the stream is waited for, so a buffer read too early or written
too soon shows.
"""

from __future__ import annotations

import ctypes
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import openvino as ov
from kernels.host import Host

from edge_inspect.edge.cuda import Gpu, Graph
from edge_inspect.edge.engines.openvino import CORE, compile_model
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.kernels.launch import Launch

RELEASES: dict[str, Any] = json.loads(
    (Path(__file__).parent / "edge" / "engines" / "tensorrt" / "releases.json").read_text()
)
ORIN = Gpu("Orin", (8, 7), "12.6", 7620)
NAMES = {
    "Builder": "Builder",
    "Config": "IBuilderConfig",
    "Parser": "OnnxParser",
    "Runtime": "Runtime",
    "Engine": "ICudaEngine",
    "Context": "IExecutionContext",
    "Cache": "ITimingCache",
}

ALIGNED = 256
"""What device memory begins at multiples of, and TensorRT asks for."""

_streams: dict[int, HostStream] = {}


class HostStream:
    def __init__(self, capturable: bool) -> None:
        self.handle, self._capturable = len(_streams) + 1, capturable
        self._waiting: list[Callable[[], None]] = []
        self.graphs = 0
        _streams[self.handle] = self

    def do(self, work: Callable[[], None]) -> None:
        self._waiting.append(work)

    def upload(self, device: HostMemory, host: np.ndarray) -> None:
        self.do(lambda: device.view(host)[...].__setitem__(..., host))

    def download(self, host: np.ndarray, device: HostMemory) -> None:
        self.do(lambda: host.__setitem__(..., device.view(host)))

    def launch(self, kernels: Host, launch: Launch) -> None:
        # pycuda takes no other integers; and it copies the argument now.
        assert all(type(value) is int for value in (*launch.grid, *launch.block, launch.shared))
        copied = replace(launch, parameters=launch.parameters.copy())
        self.do(lambda: kernels.run(copied))

    def synchronize(self) -> None:
        waiting, self._waiting = self._waiting, []
        for work in waiting:
            work()

    def capture(self, work: Callable[[], None]) -> Graph:
        if not self._capturable:
            raise EngineError("CUDA: cuStreamEndCapture failed: operation not permitted when stream is capturing")
        assert not self._waiting, "the device is at work while a graph is captured"
        work()
        captured, self._waiting = self._waiting, []
        self.graphs += 1
        return Graph(lambda: self._waiting.extend(captured), self._free)

    def _free(self) -> None:
        assert not self._waiting, "a graph is freed while it runs"
        self.graphs -= 1


class HostMemory:
    def __init__(self, nbytes: int) -> None:
        room = np.full(nbytes + ALIGNED, 0xFF, np.uint8)  # NaN, until something is written
        start = -room.ctypes.data % ALIGNED
        self._bytes = room[start : start + nbytes]

    def __int__(self) -> int:
        return int(self._bytes.ctypes.data)

    def view(self, like: np.ndarray) -> np.ndarray:
        return self._bytes.view(like.dtype).reshape(like.shape)


class HostCuda:
    """See `edge.cuda.Cuda`. `failing` is what the next block on the device ends with; `host` is what runs kernels."""

    def __init__(self, gpu: Gpu = ORIN, capturable: bool = True, host: Host | None = None) -> None:
        self.gpu, self.capturable, self.failing, self.host = gpu, capturable, "", host
        self.streams: list[HostStream] = []
        self.pinned_bytes = self.device_bytes = 0
        self._entered = 0

    @contextmanager
    def current(self) -> Iterator[None]:
        self._entered += 1
        try:
            yield
            if self.failing:
                raise EngineError(self.failing)
        finally:
            self._entered -= 1

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        assert self._entered
        array = np.empty(shape, dtype)
        self.pinned_bytes += array.nbytes
        return array

    def allocate(self, nbytes: int) -> HostMemory:
        assert self._entered
        self.device_bytes += nbytes
        return HostMemory(nbytes)

    def stream(self) -> HostStream:
        assert self._entered
        self.streams.append(HostStream(self.capturable))
        return self.streams[-1]

    def kernels(self, folder: Path) -> Host:
        assert self._entered
        if self.host is None:
            raise EngineError("the GPU kernels need nvcc")
        return self.host


class Recorded:
    """What was asked of the stand-in, and what it shall do.

    Attributes:
        builds: How many.
        timing_given: The timing caches it was given.
        half: Inputs and outputs are float16.
        spoil: What is added to every output of an engine built from this ONNX.
        fails: What the builder says before it gives nothing.
        device: Whether CUDA starts.
    """

    def __init__(self) -> None:
        self.network_flags: list[str] = []
        self.on: list[str] = []
        self.off: list[str] = []
        self.tactics: list[str] = []
        self.preview: list[str] = []
        self.workspace: int | None = None
        self.timing_given: list[bytes] = []
        self.builds = 0
        self.half = False
        self.spoil: dict[bytes, float] = {}
        self.fails = ""
        self.device = True


def tensorrt(version: str) -> tuple[Any, Recorded]:
    """The module of a release, and the record of what is asked of it."""
    release, recorded = RELEASES[version], Recorded()
    trt = SimpleNamespace(__version__=version, recorded=recorded)
    for name, members in release.items():
        if isinstance(members, dict):
            setattr(trt, name, IntEnum(name, members))
    trt.ILogger = _Logger
    parts = {made.__name__: made for made in (Builder, Config, Parser, Runtime, Engine, Context, Cache)}
    for ours, theirs in NAMES.items():
        public = {name for name in vars(parts[ours]) if not name.startswith("_")}
        assert public <= set(release[theirs]), f"{theirs} of {version} has no {public - set(release[theirs])}"
    trt.Builder = lambda logger: Builder(trt, logger)
    trt.OnnxParser = Parser
    trt.Runtime = lambda logger: Runtime(trt, logger)
    return trt, recorded


class _Logger:
    """As pybind's: whoever derives from it must call its __init__."""

    def __init__(self) -> None:
        self.made = True


class _Severity:
    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return f"Severity.{self._name}"


class Builder:
    def __init__(self, trt: Any, logger: Any) -> None:
        assert logger.made
        self._trt, self._logger = trt, logger
        _start_cuda(trt, logger)

    def create_network(self, flags: int = 0) -> Any:
        names = self._trt.NetworkDefinitionCreationFlag
        self._trt.recorded.network_flags = [flag.name for flag in names if flags & 1 << int(flag)]
        return SimpleNamespace(model=b"")

    def create_builder_config(self) -> Config:
        return Config(self._trt)

    def build_serialized_network(self, network: Any, config: Config) -> bytes | None:
        recorded = self._trt.recorded
        recorded.builds += 1
        self._logger.log(_Severity("VERBOSE"), "tactic 17 took 3 us")
        self._logger.log(_Severity("INFO"), "Detected 1 inputs and 6 output network tensors.")
        if recorded.fails:
            self._logger.log(_Severity("ERROR"), recorded.fails)
            return None
        return f"plan {self._trt.__version__}\n".encode() + network.model


class Config:
    def __init__(self, trt: Any) -> None:
        self._trt, self._cache = trt, None
        trt.recorded.on, trt.recorded.off, trt.recorded.tactics, trt.recorded.preview = [], [], [], []

    def set_flag(self, flag: Any) -> None:
        self._trt.recorded.on.append(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self._trt.recorded.off.append(flag.name)

    def set_tactic_sources(self, tactic_sources: int) -> bool:
        self._trt.recorded.tactics = [each.name for each in self._trt.TacticSource if tactic_sources & 1 << int(each)]
        return True

    def set_preview_feature(self, feature: Any, enable: bool) -> None:
        assert enable
        self._trt.recorded.preview.append(feature.name)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        assert pool == self._trt.MemoryPoolType.WORKSPACE
        self._trt.recorded.workspace = pool_size

    def create_timing_cache(self, serialized_timing_cache: bytes) -> Cache:
        return Cache(serialized_timing_cache)

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        self._trt.recorded.timing_given.append(cache._measured)
        if cache._measured and not cache._measured.startswith(b"measured"):
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> Cache | None:
        return self._cache


class Cache:
    def __init__(self, measured: bytes) -> None:
        self._measured = measured

    def serialize(self) -> bytes:
        return (self._measured or b"measured") + b"!"


class Parser:
    def __init__(self, network: Any, logger: Any) -> None:
        self._network = network

    def parse(self, model: bytes) -> bool:
        self._network.model = bytes(model)
        try:
            _read(self._network.model)
        except RuntimeError:
            return False
        return True

    num_errors = 1

    def get_error(self, index: int) -> Any:
        return SimpleNamespace(desc=lambda: "No importer registered for op: Nonsense", node=lambda: 7)


class Runtime:
    def __init__(self, trt: Any, logger: Any) -> None:
        self._trt, self._logger = trt, logger
        _start_cuda(trt, logger)

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
        header, _, model = serialized_engine.partition(b"\n")
        if header.decode() != f"plan {self._trt.__version__}":
            self._logger.log(_Severity("ERROR"), "The engine plan file is not compatible with this version of TensorRT")
            return None
        return Engine(self._trt, model)


class Engine:
    def __init__(self, trt: Any, model: bytes) -> None:
        self._trt, self._dtype = trt, np.float16 if trt.recorded.half else np.float32
        self._spoil = trt.recorded.spoil.get(model, 0.0)
        network = _read(model)
        self._compiled = compile_model(network)
        graph = onnx.load_from_string(model).graph
        self._inputs = [value.name for value in graph.input]
        self._names = [*self._inputs, *(value.name for value in graph.output)]

    @property
    def num_io_tensors(self) -> int:
        return len(self._names)

    def get_tensor_name(self, index: int) -> str:
        return self._names[index]

    def get_tensor_mode(self, name: str) -> Any:
        mode = self._trt.TensorIOMode
        return mode.INPUT if name in self._inputs else mode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        port = self._compiled.input(name) if name in self._inputs else self._compiled.output(name)
        return tuple(port.shape)

    def get_tensor_dtype(self, name: str) -> Any:
        return self._trt.DataType.HALF if self._dtype is np.float16 else self._trt.DataType.FLOAT

    def create_execution_context(self) -> Context:
        return Context(self)


class Context:
    def __init__(self, engine: Engine) -> None:
        self._engine, self._addresses = engine, dict[str, int]()

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert memory % ALIGNED == 0
        self._addresses[name] = memory
        return name in self._engine._names

    def execute_async_v3(self, stream_handle: int) -> bool:
        if set(self._addresses) != set(self._engine._names):
            return False
        addresses = dict(self._addresses)  # those of now: the next tile's may be others
        _streams[stream_handle].do(lambda: self._run(addresses))
        return True

    def _run(self, addresses: dict[str, int]) -> None:
        engine = self._engine
        (image,) = engine._inputs
        results = engine._compiled({image: self._at(addresses, image).astype(np.float32)})
        for name in engine._names[1:]:
            values = results[name]
            spoilt = values + engine._spoil * np.arange(values.size).reshape(values.shape) % 7
            self._at(addresses, name)[...] = spoilt

    def _at(self, addresses: dict[str, int], name: str) -> np.ndarray:
        shape, dtype = self._engine.get_tensor_shape(name), np.dtype(self._engine._dtype)
        nbytes = int(np.prod(shape)) * dtype.itemsize
        memory = (ctypes.c_uint8 * nbytes).from_address(addresses[name])
        return np.frombuffer(memory, dtype).reshape(shape)


def _start_cuda(trt: Any, logger: Any) -> None:
    if not trt.recorded.device:
        logger.log(_Severity("WARNING"), "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")


def _read(model: bytes) -> ov.Model:
    return CORE.read_model(io.BytesIO(model))
