"""The engine that does all work on an NVIDIA GPU: preprocessing, network, discrepancy and score."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.cuda import Cuda, Kernels
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.engines.base import checked_score
from edge_inspect.edge.engines.tensorrt.bindings import TensorRt
from edge_inspect.edge.engines.tensorrt.device_head import DeviceHead, FrameLaunches
from edge_inspect.edge.engines.tensorrt.engine import IN_FLIGHT, TensorRtEngine
from edge_inspect.edge.engines.tensorrt.network import Network
from edge_inspect.edge.engines.tensorrt.slot import Slot
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.frame.pose import Pose


class FusedTensorRtEngine(TensorRtEngine):
    """An engine that runs each frame as one CUDA graph.

    The graph copies the frame to the device, preprocesses it, runs the network tile by tile, computes the discrepancy,
    and copies map and score back. Frames may have any size. The graph is captured at the first frame, and again when
    the size of the frames changes.

    Args:
        bundle: The bundle.
        precision: The precision whose model the plan was built from.
        plan: The serialized engine.
        trt: The `tensorrt` package with which the plan was built.
        cuda: The GPU on which the plan was built.
        kernels: The kernels of edge/kernels, loaded on the GPU.

    Raises:
        EngineError: As in `TensorRtEngine`, or the kernels do not support the network's outputs.
    """

    def __init__(
        self, bundle: Bundle, precision: Precision, plan: bytes, trt: TensorRt, cuda: Cuda, kernels: Kernels
    ) -> None:
        self._kernels = kernels
        super().__init__(bundle, precision, plan, trt, cuda)
        self._unaligned = replace(self._fit, alignment=None)
        self._unfitted = replace(self._unaligned, region=None, areas=None)

    def infer_all(self, frames: Iterable[Frame]) -> Iterator[AnomalyMap]:
        """Yield the anomaly maps of frames in order, each valid until the next one. Frames may be read ahead.

        Raises:
            EngineError: The engine failed.
            DriftError: A result is not finite.
            UsageError: The region of interest lies outside a frame.
        """
        poses: deque[Pose | None] = deque()

        def aligned() -> Iterator[tuple[Frame, Fit]]:
            for frame in frames:
                moved, pose = self._fit.align(frame)
                poses.append(pose)
                yield moved, self._unaligned

        for anomaly in self._run_slots(aligned()):
            if (pose := poses.popleft()) is not None:
                score = anomaly.score if pose.found else math.inf
                anomaly = AnomalyMap(anomaly.values, replace(anomaly.placement, pose=pose), score)
            yield anomaly

    def infer_fitted(self, fitted: Frame) -> NDArray[np.float32]:
        """Return the map, (height, width), of a frame that was already fitted to the canvas; valid until the next call.

        Raises:
            EngineError: The engine failed.
            DriftError: The result is not finite.
        """
        # No mode of the fit changes a frame of the canvas's size, and grey pixels stay grey. Pixels that are not looked
        # at are blank already.
        anomaly: AnomalyMap = next(self._run_slots([(fitted, self._unfitted)]))
        return anomaly.values

    def _make_slots(self, bundle: Bundle, network: Network) -> list[Slot[Any, Any]]:
        return [DeviceSlot(self._cuda, network, bundle, self.precision, self._kernels) for _ in range(IN_FLIGHT)]


class DeviceSlot(Slot[tuple[Frame, Fit], AnomalyMap]):
    """A slot for whole frames. The processor only copies the area that the network sees."""

    def __init__(self, cuda: Cuda, network: Network, bundle: Bundle, precision: Precision, kernels: Kernels) -> None:
        super().__init__(cuda, network, bundle.fit.grid.count)
        self._kernels = kernels
        self._head = DeviceHead(cuda, self._stream, bundle, precision, network.tensors, self._device)
        self._planned: tuple[Fit, int, int] | None = None
        self._prepared: FrameLaunches

    def begin(self, given: tuple[Frame, Fit]) -> None:
        """Start the work for a frame and its fit."""
        frame, fit = given
        wanted = fit, frame.shape[1], frame.shape[0]
        if wanted != self._planned:
            self._plan(*wanted)
        x, y, width, height = self._prepared.view
        np.copyto(self._prepared.seen, frame[y : y + height, x : x + width])
        self._launch()

    def result(self) -> AnomalyMap:
        """Return the frame's map and score."""
        return AnomalyMap(self._head.values, self._prepared.placement, checked_score(self._head.score))

    def _plan(self, fit: Fit, width: int, height: int) -> None:
        self._stream.synchronize()  # an abandoned frame may still use the old memory
        self._planned = None
        if self._graph is not None:
            self._graph.free()
            self._graph = None
        self._prepared = self._head.prepare(fit, width, height)
        self._capture()
        self._planned = fit, width, height

    def _enqueue(self) -> None:
        stream, kernels, frame, head = self._stream, self._kernels, self._prepared, self._head
        stream.upload(frame.on_device, frame.seen)
        for launch in frame.before:
            stream.launch(kernels, launch)
        for tile, launches in enumerate(head.after_tile):
            self._network.bind(self._context, self._network.input, head.image(tile))
            self._network.execute(self._context, stream)
            for launch in launches:
                stream.launch(kernels, launch)
        stream.launch(kernels, frame.after)
        # The map is always copied back, because golden frames, regions and overlays need it. Its 256 KB (256x256) take
        # about 11 us over PCIe 4 x16 at 24 GB/s, by calculation. The mask is not, because a threshold on the map
        # gives the same.
        stream.download(head.back, head.result)
