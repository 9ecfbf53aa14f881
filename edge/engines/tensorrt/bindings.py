"""The part of the `tensorrt` package that this project calls, as types: the same in every release from 8.5 to 11.

The package has no type information of its own. These protocols were held by mypy against stubs made from the bindings
of 8.5.3, 8.6.1, 10.0.1, 10.3.0, 10.16.1, 11.0.0 and 11.4.0; tests/edge/engines/tensorrt/releases.json has their
members.
"""

# ruff: noqa: D102 (what the methods do is in NVIDIA's documentation)
from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol, cast

from edge_inspect.edge.errors import EngineError

REMEDY = (
    "JetPack: apt install python3-libnvinfer, in a venv with --system-site-packages; elsewhere: pip install tensorrt"
)


class HostMemory(Protocol):
    """IHostMemory: bytes that TensorRT owns, read through the buffer protocol."""

    @property
    def nbytes(self) -> int: ...


class TimingCache(Protocol):
    """ITimingCache: what the builder measured of each tactic."""

    def serialize(self) -> Any: ...


class BuilderConfig(Protocol):
    """IBuilderConfig."""

    def set_flag(self, flag: Any) -> None: ...
    def clear_flag(self, flag: Any) -> None: ...
    def set_tactic_sources(self, tactic_sources: int) -> bool: ...
    def set_preview_feature(self, feature: Any, enable: bool) -> None: ...
    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None: ...
    def create_timing_cache(self, serialized_timing_cache: Any) -> Any: ...
    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool: ...
    def get_timing_cache(self) -> Any: ...


class Builder(Protocol):
    """Builder."""

    def create_network(self, flags: int = 0) -> Any: ...
    def create_builder_config(self) -> BuilderConfig: ...
    def build_serialized_network(self, network: Any, config: Any) -> Any: ...


class ParserError(Protocol):
    """IParserError."""

    def desc(self) -> str: ...
    def node(self) -> int: ...


class Parser(Protocol):
    """OnnxParser."""

    @property
    def num_errors(self) -> int: ...
    def parse(self, model: Any) -> bool: ...
    def get_error(self, index: int) -> ParserError: ...


class CudaEngine(Protocol):
    """ICudaEngine, by its I/O tensors."""

    @property
    def num_io_tensors(self) -> int: ...
    def get_tensor_name(self, index: int) -> str: ...
    def get_tensor_mode(self, name: str) -> Any: ...
    def get_tensor_shape(self, name: str) -> Any: ...
    def get_tensor_dtype(self, name: str) -> Any: ...
    def create_execution_context(self) -> Any: ...


class ExecutionContext(Protocol):
    """IExecutionContext."""

    def set_tensor_address(self, name: str, memory: int) -> bool: ...
    def execute_async_v3(self, stream_handle: int) -> bool: ...


class Runtime(Protocol):
    """Runtime."""

    def deserialize_cuda_engine(self, serialized_engine: Any) -> Any: ...


class TensorRt(Protocol):
    """The module. Enumerations are looked up by name: their members differ between releases."""

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
    """Import `tensorrt`.

    Raises:
        EngineError: It is not installed, or its libraries are not.
    """
    try:
        return cast(TensorRt, importlib.import_module("tensorrt"))
    except ModuleNotFoundError as error:
        raise EngineError(f"TensorRT is not installed: {error}; {REMEDY}") from error
    except Exception as error:  # a package without its shared libraries fails with whatever it likes
        raise EngineError(f"TensorRT cannot be loaded: {error}; {REMEDY}") from error


def collecting_log(trt: TensorRt) -> tuple[Any, list[str]]:
    """Return a TensorRT logger, and the list it writes to: `WARNING: ...` and so on, all but what is verbose."""
    lines: list[str] = []

    def initialise(self: Any) -> None:
        trt.ILogger.__init__(self)

    def log(self: Any, severity: Any, message: str) -> None:
        name = str(severity).rpartition(".")[2]
        if name != "VERBOSE":
            lines.append(f"{name}: {message}")

    # Not a class statement: its base is known only at run time.
    return type("CollectingLog", (trt.ILogger,), {"__init__": initialise, "log": log})(), lines


def reason(lines: list[str]) -> str:
    """Return why something failed: the last errors in a log, or the last warnings where there are none."""
    for kinds in (("ERROR", "INTERNAL_ERROR"), ("WARNING",)):
        if found := [line.partition(": ")[2] for line in lines if line.partition(": ")[0] in kinds]:
            return "; ".join(" ".join(line.split()) for line in found[-3:])
    return "TensorRT gave no reason"
