"""A TensorRT engine on the GPU: the network alone, by its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import MapOutput
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.cuda import Stream
from edge_inspect.edge.engines.tensorrt.bindings import CudaEngine, ExecutionContext, TensorRt, collecting_log, reason
from edge_inspect.edge.errors import EngineError


@dataclass(frozen=True)
class Tensor:
    """An input or output of an engine."""

    is_input: bool
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Of its values."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


class Network:
    """A plan, taken by TensorRT.

    Args:
        bundle: The bundle.
        precision: Which of its models the plan was built from.
        plan: The serialized engine.
        trt: The `tensorrt` package it was built with.

    Attributes:
        tensors: By name.
        input: The name of the image.

    Raises:
        EngineError: TensorRT refuses the plan, or its tensors are not the bundle's.
    """

    def __init__(self, bundle: Bundle, precision: Precision, plan: bytes, trt: TensorRt) -> None:
        logger, self._said = collecting_log(trt)
        try:
            runtime = trt.Runtime(logger)
            engine: CudaEngine | None = runtime.deserialize_cuda_engine(plan)
        except (TypeError, RuntimeError) as error:  # the bindings' own, when CUDA does not start
            raise EngineError(f"{bundle.path}: TensorRT cannot start: {error}: {reason(self._said)}") from error
        if engine is None:
            raise EngineError(f"{bundle.path}: TensorRT refuses the {precision} engine: {reason(self._said)}")
        # TensorRT's objects do not keep one another alive.
        self._alive = (logger, runtime)
        self._engine = engine
        self.tensors = _tensors(trt, engine)
        self.input = bundle.manifest.input.name
        _check_tensors(bundle, self.tensors)

    def context(self) -> ExecutionContext:
        """Return what runs it, one frame at a time.

        Raises:
            EngineError: The device lacks memory.
        """
        context: ExecutionContext | None = self._engine.create_execution_context()
        if context is None:
            raise EngineError(f"TensorRT cannot run the engine: {reason(self._said)}; is the GPU's memory full?")
        return context

    def bind(self, context: ExecutionContext, name: str, address: int) -> None:
        """Say where a tensor lies on the device.

        Raises:
            EngineError: TensorRT does not take it.
        """
        if not context.set_tensor_address(name, address):
            raise EngineError(f"TensorRT takes no memory for {name}: {reason(self._said)}")

    def execute(self, context: ExecutionContext, stream: Stream) -> None:
        """Begin it on what lies in its input.

        Raises:
            EngineError: TensorRT refuses.
        """
        if not context.execute_async_v3(stream.handle):
            raise EngineError(f"TensorRT failed on a frame: {reason(self._said)}")


def _tensors(trt: TensorRt, engine: CudaEngine) -> dict[str, Tensor]:
    dtypes: dict[Any, np.dtype[Any]] = {
        trt.DataType.FLOAT: np.dtype(np.float32),
        trt.DataType.HALF: np.dtype(np.float16),
    }
    found = {}
    for i in range(engine.num_io_tensors):
        name = engine.get_tensor_name(i)
        dtype = dtypes.get(engine.get_tensor_dtype(name))
        if dtype is None:
            raise EngineError(f"the engine's tensor {name} is neither float32 nor float16")
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        found[name] = Tensor(is_input, tuple(int(side) for side in engine.get_tensor_shape(name)), dtype)
    return found


def _check_tensors(bundle: Bundle, tensors: dict[str, Tensor]) -> None:
    outputs, fit = bundle.manifest.outputs, bundle.fit
    wanted = {outputs.map} if isinstance(outputs, MapOutput) else {*outputs.teacher, *outputs.student}
    inputs = {name for name, tensor in tensors.items() if tensor.is_input}
    image = bundle.manifest.input.name
    if inputs != {image} or wanted - tensors.keys() or tensors[image].shape != (1, 3, fit.height, fit.width):
        found = ", ".join(f"{name} {tensor.shape}" for name, tensor in tensors.items())
        raise EngineError(f"{bundle.path}: the engine is of another network: it has {found}")
