"""Slots: each holds the stream, the memory and the CUDA graph for one frame or tile at a time."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.cuda import Cuda, Graph
from edge_inspect.edge.engines.tensorrt.host_head import HostHead
from edge_inspect.edge.engines.tensorrt.network import Network
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.images import Frame

log = logging.getLogger(__name__)

Given = TypeVar("Given")
Result = TypeVar("Result")


class Slot(ABC, Generic[Given, Result]):
    """A slot, whose tensors are allocated once and whose work is one CUDA graph.

    Args:
        cuda: The GPU.
        network: The network to run.
        images: Number of images for which the input's memory has room.
    """

    def __init__(self, cuda: Cuda, network: Network, images: int = 1) -> None:
        self._cuda, self._network = cuda, network
        self._stream = cuda.stream()
        self._context = network.context()
        self._device: dict[str, Any] = {
            name: cuda.allocate(tensor.nbytes * (images if tensor.is_input else 1))
            for name, tensor in network.tensors.items()
        }
        for name, memory in self._device.items():
            network.bind(self._context, name, int(memory))
        self._graph: Graph | None = None

    @abstractmethod
    def begin(self, given: Given) -> None:
        """Start the work for a frame or tile."""

    @abstractmethod
    def result(self) -> Result:
        """Return the result, valid until the next `begin`."""

    @abstractmethod
    def _enqueue(self) -> None:
        """Enqueue all work for one frame or tile on the stream."""

    def wait(self) -> None:
        """Wait until the work is done."""
        self._stream.synchronize()

    def run_network(self) -> None:
        """Run only the network, and wait for it."""
        self._network.execute(self._context, self._stream)
        self._stream.synchronize()

    def close(self) -> None:
        """Wait for the work, and release graph, context and memory. Call it inside `Cuda.current`."""
        self._stream.synchronize()
        if self._graph is not None:
            self._graph.free()
            self._graph = None
        del self._context
        self._device.clear()

    def _capture(self) -> None:
        self._enqueue()  # run once outside the graph: TensorRT and CUDA allocate some memory only now
        self._stream.synchronize()
        try:
            self._graph = self._stream.capture(self._enqueue)
        except EngineError as error:
            log.warning("the engine runs without a CUDA graph, a little slower: %s", error)

    def _launch(self) -> None:
        if self._graph is not None:
            self._graph.launch()
        else:
            self._enqueue()


class HostSlot(Slot[Frame, NDArray[np.float32]]):
    """A slot for tiles, whose normalisation and discrepancy the processor computes."""

    def __init__(self, cuda: Cuda, network: Network, head: HostHead) -> None:
        super().__init__(cuda, network)
        self._head = head
        self._host = {name: cuda.pinned(tensor.shape, tensor.dtype) for name, tensor in network.tensors.items()}
        self._image = self._host[network.input]
        self._image.fill(0)
        self._capture()

    def begin(self, given: Frame) -> None:
        """Start the work for a tile."""
        self._head.load(given, self._image)
        self._launch()

    def result(self) -> NDArray[np.float32]:
        """Return the tile's anomaly map, (height, width)."""
        return self._head.map(self._host)

    def _enqueue(self) -> None:
        self._stream.upload(self._device[self._network.input], self._image)
        self._network.execute(self._context, self._stream)
        for name, host in self._host.items():
            if name != self._network.input:
                self._stream.download(host, self._device[name])
