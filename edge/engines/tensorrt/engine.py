"""The engine for NVIDIA GPUs on which TensorRT runs the network, and the processor does the steps around it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.cuda import Cuda
from edge_inspect.edge.engines.base import FittedEngine
from edge_inspect.edge.engines.tensorrt.bindings import TensorRt
from edge_inspect.edge.engines.tensorrt.host_head import HostHead
from edge_inspect.edge.engines.tensorrt.network import Network
from edge_inspect.edge.engines.tensorrt.slot import HostSlot, Slot
from edge_inspect.edge.frame.images import Frame

IN_FLIGHT = 2
"""Number of slots. The processor prepares or evaluates a tile in one while the device computes in the other."""


class TensorRtEngine(FittedEngine):
    """An engine with two slots of page-locked and device memory, which are allocated once.

    Each tile is one CUDA graph: copy to the device, network, copy back. This engine is for boxes where the kernels
    cannot be compiled; edge/engines/tensorrt/fused.py has the engine for all others. `CachedTensorRtEngine` opens both.

    Args:
        bundle: The bundle.
        precision: The precision whose model the plan was built from.
        plan: The serialized engine.
        trt: The `tensorrt` package with which the plan was built.
        cuda: The GPU on which the plan was built.

    Raises:
        EngineError: TensorRT refuses the plan, its tensors are not the bundle's, or the device lacks memory.
    """

    name = "tensorrt"

    def __init__(self, bundle: Bundle, precision: Precision, plan: bytes, trt: TensorRt, cuda: Cuda) -> None:
        super().__init__(bundle, precision)
        self._cuda = cuda
        with cuda.current():
            self._slots = self._make_slots(bundle, Network(bundle, precision, plan, trt))

    @classmethod
    def unsupported(cls, precision: Precision) -> str:
        """Return the reason why the engine cannot compute in a precision; an empty text if it can."""
        return "bf16 is for OpenVINO; TensorRT runs int8, fp16 and fp32" if precision == "bf16" else ""

    def network_alone(self, bundle: Bundle) -> Callable[[], object]:
        """Return `run_network`, a function that runs only the network; features stay on the device."""
        return self.run_network

    def run_network(self) -> None:
        """Run only the network, on whatever its input holds. Features stay on the device. No frame takes less time.

        Raises:
            EngineError: The network failed.
        """
        self._check_open()
        with self._cuda.current():
            self._slots[0].run_network()

    def _make_slots(self, bundle: Bundle, network: Network) -> list[Slot[Any, Any]]:
        head = HostHead(bundle.manifest, {name: tensor.shape for name, tensor in network.tensors.items()})
        return [HostSlot(self._cuda, network, head) for _ in range(IN_FLIGHT)]

    def _release(self) -> None:
        # Memory that is released outside the context would never be given back.
        with self._cuda.current():
            while self._slots:
                self._slots.pop().close()

    def _maps(self, tiles: Iterable[Frame]) -> Iterator[NDArray[np.float32]]:
        return self._run_slots(tiles)

    def _run_slots(self, given: Iterable[Any]) -> Iterator[Any]:
        """Yield the slots' results for the given frames or tiles in order, each valid until the next one."""
        self._check_open()
        # If the caller stops half-way, nothing must be cleaned up: a slot's next work waits on the same stream.
        free, busy = deque(self._slots), deque[Slot[Any, Any]]()
        for each in given:
            if not free:
                yield self._finish(busy, free)
            with self._cuda.current():
                free[0].begin(each)
            busy.append(free.popleft())
        while busy:
            yield self._finish(busy, free)

    def _finish(self, busy: deque[Slot[Any, Any]], free: deque[Slot[Any, Any]]) -> Any:
        slot = busy.popleft()
        free.append(slot)
        with self._cuda.current():
            slot.wait()
        return slot.result()
