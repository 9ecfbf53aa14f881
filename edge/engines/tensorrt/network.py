"""A network that TensorRT runs on the GPU, with its input and output tensors."""

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
    """An input or output of a network."""

    is_input: bool
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Size of the tensor's values in bytes."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


class Network:
    """A network, loaded by TensorRT from a serialized engine.

    Args:
        bundle: The bundle.
        precision: The precision whose model the plan was built from.
        plan: The serialized engine.
        trt: The `tensorrt` package with which the plan was built.

    Attributes:
        tensors: Inputs and outputs, by name.
        input: Name of the input, which takes the image.

    Raises:
        EngineError: TensorRT refuses the plan, or its tensors are not the bundle's.
    """

    def __init__(self, bundle: Bundle, precision: Precision, plan: bytes, trt: TensorRt) -> None:
        logger, self._said = collecting_log(trt)
        try:
            runtime = trt.Runtime(logger)
            engine: CudaEngine | None = runtime.deserialize_cuda_engine(plan)
        except (TypeError, RuntimeError) as error:  # the bindings raise these when CUDA does not start
            raise EngineError(f"{bundle.path}: TensorRT cannot start: {error}: {reason(self._said)}") from error
        if engine is None:
            raise EngineError(f"{bundle.path}: TensorRT refuses the {precision} engine: {reason(self._said)}")
        # These are kept because TensorRT's objects do not keep each other alive.
        self._alive = (logger, runtime)
        self._engine = engine
        self.tensors = _tensors(trt, engine)
        self.input = bundle.manifest.input.name
        _check_tensors(bundle, self.tensors)

    def context(self) -> ExecutionContext:
        """Return an execution context, which runs one frame at a time.

        Raises:
            EngineError: The device lacks memory.
        """
        context: ExecutionContext | None = self._engine.create_execution_context()
        if context is None:
            raise EngineError(f"TensorRT cannot run the engine: {reason(self._said)}; is the GPU's memory full?")
        return context

    def bind(self, context: ExecutionContext, name: str, address: int) -> None:
        """Set the device address of a tensor.

        Raises:
            EngineError: TensorRT refuses the address.
        """
        if not context.set_tensor_address(name, address):
            raise EngineError(f"TensorRT refuses the memory for {name}: {reason(self._said)}")

    def execute(self, context: ExecutionContext, stream: Stream) -> None:
        """Start the network on whatever its input holds.

        Raises:
            EngineError: TensorRT refuses to start it.
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
        raise EngineError(f"{bundle.path}: the engine belongs to another network: it has {found}")
