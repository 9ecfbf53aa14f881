"""Types for the part of the `tensorrt` package that this project uses. It is the same in all releases from 8.5 to 11.

The package has no type information of its own. mypy compared these protocols with stubs made from the bindings of
8.5.3, 8.6.1, 10.0.1, 10.3.0, 10.16.1, 11.0.0 and 11.4.0; tests/edge/engines/tensorrt/releases.json lists their members.
"""

# ruff: noqa: D102 (NVIDIA's documentation describes the methods)
from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol, cast

from edge_inspect.edge.errors import EngineError

REMEDY = (
    "JetPack: apt install python3-libnvinfer, in a venv with --system-site-packages; elsewhere: pip install tensorrt"
)


class HostMemory(Protocol):
    """TensorRT's IHostMemory: bytes that TensorRT owns, read through the buffer protocol."""

    @property
    def nbytes(self) -> int: ...


class TimingCache(Protocol):
    """TensorRT's ITimingCache: the times that the builder measured for each tactic."""

    def serialize(self) -> Any: ...


class BuilderConfig(Protocol):
    """TensorRT's IBuilderConfig."""

    def set_flag(self, flag: Any) -> None: ...
    def clear_flag(self, flag: Any) -> None: ...
    def set_tactic_sources(self, tactic_sources: int) -> bool: ...
    def set_preview_feature(self, feature: Any, enable: bool) -> None: ...
    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None: ...
    def create_timing_cache(self, serialized_timing_cache: Any) -> Any: ...
    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool: ...
    def get_timing_cache(self) -> Any: ...


class Builder(Protocol):
    """TensorRT's Builder."""

    def create_network(self, flags: int = 0) -> Any: ...
    def create_builder_config(self) -> BuilderConfig: ...
    def build_serialized_network(self, network: Any, config: Any) -> Any: ...


class ParserError(Protocol):
    """TensorRT's IParserError."""

    def desc(self) -> str: ...
    def node(self) -> int: ...


class Parser(Protocol):
    """TensorRT's OnnxParser."""

    @property
    def num_errors(self) -> int: ...
    def parse(self, model: Any) -> bool: ...
    def get_error(self, index: int) -> ParserError: ...


class CudaEngine(Protocol):
    """TensorRT's ICudaEngine, the built network; the part that describes its input and output tensors."""

    @property
    def num_io_tensors(self) -> int: ...
    def get_tensor_name(self, index: int) -> str: ...
    def get_tensor_mode(self, name: str) -> Any: ...
    def get_tensor_shape(self, name: str) -> Any: ...
    def get_tensor_dtype(self, name: str) -> Any: ...
    def create_execution_context(self) -> Any: ...


class ExecutionContext(Protocol):
    """TensorRT's IExecutionContext."""

    def set_tensor_address(self, name: str, memory: int) -> bool: ...
    def execute_async_v3(self, stream_handle: int) -> bool: ...


class Runtime(Protocol):
    """TensorRT's Runtime."""

    def deserialize_cuda_engine(self, serialized_engine: Any) -> Any: ...


class TensorRt(Protocol):
    """The module `tensorrt`. Enumerations are looked up by name, because their members differ between releases."""

    __version__: str
    ILogger: Any
    BuilderFlag: Any
    NetworkDefinitionCreationFlag: Any
    MemoryPoolType: Any
    TensorIOMode: Any
    DataType: Any
    TacticSource: Any
    PreviewFeature: Any

    @property
    def Builder(self) -> Callable[[Any], Builder]: ...
    @property
    def OnnxParser(self) -> Callable[[Any, Any], Parser]: ...
    @property
    def Runtime(self) -> Callable[[Any], Runtime]: ...


def load_tensorrt() -> TensorRt:
    """Import and return `tensorrt`.

    Raises:
        EngineError: The package or its libraries are not installed.
    """
    try:
        return cast(TensorRt, importlib.import_module("tensorrt"))
    except ModuleNotFoundError as error:
        raise EngineError(f"TensorRT is not installed: {error}; {REMEDY}") from error
    except Exception as error:  # without its shared libraries the package can fail in any way
        raise EngineError(f"TensorRT cannot be loaded: {error}; {REMEDY}") from error


def collecting_log(trt: TensorRt) -> tuple[Any, list[str]]:
    """Return a TensorRT logger and the list to which it adds lines such as `WARNING: ...`, without verbose messages."""
    lines: list[str] = []

    def initialise(self: Any) -> None:
        trt.ILogger.__init__(self)

    def log(self: Any, severity: Any, message: str) -> None:
        name = str(severity).rpartition(".")[2]
        if name != "VERBOSE":
            lines.append(f"{name}: {message}")

    # This is not a class statement, because the base class is known only at run time.
    return type("CollectingLog", (trt.ILogger,), {"__init__": initialise, "log": log})(), lines


def reason(lines: list[str]) -> str:
    """Return the reason of a failure: the last errors in a log or, without errors, the last warnings."""
    for kinds in (("ERROR", "INTERNAL_ERROR"), ("WARNING",)):
        if found := [line.partition(": ")[2] for line in lines if line.partition(": ")[0] in kinds]:
            return "; ".join(" ".join(line.split()) for line in found[-3:])
    return "TensorRT gave no reason"
