"""What stands before and behind the network, on the GPU: launches of edge/kernels, and the memory they work in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.bundle.manifest import MapOutput
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.cuda import Cuda, Stream
from edge_inspect.edge.engines.tensorrt.network import Tensor
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.fit import Fit, Placement
from edge_inspect.edge.kernels.discrepancy import (
    FeaturePair,
    Kind,
    arrange,
    distance,
    head_launch,
    head_tables,
    patches,
)
from edge_inspect.edge.kernels.launch import Launch
from edge_inspect.edge.kernels.preprocess import plan


@dataclass(frozen=True)
class Route:
    """How frames of one size pass.

    Attributes:
        placement: Where the map lies in them.
        view: x, y, width, height of what is seen of them.
        seen: That part, (height, width, 3) uint8 in page-locked memory: the only one that is copied to the GPU.
        on_device: The same there.
        between: Device memory of the pictures between the steps of the resize.
        before: What brings it to the network's input.
        behind: What makes map and score of the low-resolution maps.
    """

    placement: Placement
    view: tuple[int, int, int, int]
    seen: NDArray[np.uint8]
    on_device: Any
    between: list[Any]
    before: list[Launch]
    behind: Launch


class DeviceHead:
    """Frame to network input, and network outputs to anomaly map and score, without the processor.

    The network takes one tile at a time: its features are compared while they lie in the GPU's cache, and take the
    memory of one tile.

    Args:
        cuda: The GPU.
        stream: What the constants are copied in.
        bundle: The bundle.
        precision: Whose pixel threshold the mask takes.
        tensors: Of the network.
        memory: Of the tensors on the device, the input's of all tiles of a frame.

    Attributes:
        after_tile: What follows the network for each tile.
        result: Map and score on the device.
        values: The map on the processor, (height, width) float32 of the canvas, page-locked.
        back: Map and score in one array: one copy brings both.

    Raises:
        EngineError: The outputs differ in type, or are of more scales than the kernels take.
    """

    def __init__(
        self,
        cuda: Cuda,
        stream: Stream,
        bundle: Bundle,
        precision: Precision,
        tensors: Mapping[str, Tensor],
        memory: Mapping[str, Any],
    ) -> None:
        self._cuda, self._stream, self._manifest = cuda, stream, bundle.manifest
        self._tensors = tensors
        self._at = {name: int(address) for name, address in memory.items()}
        self._grid = bundle.fit.grid
        self._threshold = bundle.manifest.decision.thresholds[precision].pixel
        outputs = bundle.manifest.outputs
        names = [outputs.map] if isinstance(outputs, MapOutput) else outputs.teacher
        sizes = [(tensors[name].shape[-2], tensors[name].shape[-1]) for name in names]
        self._tables = head_tables(sizes, self._grid, bundle.manifest.decision.sigma)
        self._constants = [{name: self._upload(array) for name, array in t.arrays.items()} for t in self._tables]
        self._low = [cuda.allocate(4 * table.size[0] * table.size[1]) for table in self._tables]
        self.after_tile = [self._compare(tile, sizes) for tile in range(self._grid.count)]
        width, height = self._grid.canvas
        self.back = cuda.pinned((height * width + 1,), np.float32)
        self.values = self.back[:-1].reshape(height, width)
        self.result = cuda.allocate(self.back.nbytes)
        self._mask = cuda.allocate(height * width)
        self._peaks = cuda.allocate(4 * patches(self._grid))
        self._done = self._upload(np.zeros(1, np.uint32))
        stream.synchronize()

    @property
    def score(self) -> float:
        """What came back with the map."""
        return float(self.back[-1])

    def route(self, fit: Fit, width: int, height: int) -> Route:
        """Plan the passage of frames, and take the memory for them.

        Args:
            fit: The bundle's, or that of frames that were fitted already.
            width: Of the frames.
            height: Likewise.

        Raises:
            UsageError: The region of interest lies outside the frames.
            EngineError: They show in fewer pixels of the map than the score is the mean of.
        """
        made, given = plan(fit, width, height), self._manifest.input
        _, _, across, down = made.view
        seen = self._cuda.pinned((down, across, 3), np.uint8)
        on_device = self._cuda.allocate(seen.nbytes)
        between = [self._cuda.allocate(3 * w * h) for w, h in made.steps]
        before = made.launches(
            int(on_device),
            3 * across,
            [int(memory) for memory in between],
            self._at[given.name],
            mean=given.mean,
            std=given.std,
            kind=self._kind([given.name]),
        )
        behind = self._join(made.placement.valid)
        return Route(made.placement, made.view, seen, on_device, between, before, behind)

    def image(self, tile: int) -> int:
        """Return where the network's input of a tile lies on the device."""
        name = self._manifest.input.name
        return self._at[name] + tile * self._tensors[name].nbytes

    def _compare(self, tile: int, sizes: list[tuple[int, int]]) -> list[Launch]:
        columns = self._grid.columns
        row, column = divmod(tile, columns)
        # A tile's map is written at its place among the others', in lines of all of them.
        to = [int(low) + 4 * w * (row * h * columns + column) for low, (h, w) in zip(self._low, sizes, strict=True)]
        outputs = self._manifest.outputs
        if isinstance(outputs, MapOutput):
            return [arrange(self._at[outputs.map], to[0], sizes[0], 1, kind=self._kind([outputs.map]), columns=columns)]
        scales = [
            FeaturePair(self._at[teacher], self._at[student], place, self._tensors[teacher].shape[1], *size)
            for teacher, student, place, size in zip(outputs.teacher, outputs.student, to, sizes, strict=True)
        ]
        return [distance(scales, 1, kind=self._kind([*outputs.teacher, *outputs.student]), columns=columns)]

    def _join(self, valid: tuple[int, int, int, int]) -> Launch:
        addresses = [
            {"map": int(low)} | {name: int(memory) for name, memory in constants.items()}
            for low, constants in zip(self._low, self._constants, strict=True)
        ]
        score = int(self.result) + self.back.nbytes - 4
        memory = {"map": self.result, "mask": self._mask, "score": score, "peaks": self._peaks, "done": self._done}
        return head_launch(
            self._tables,
            addresses,
            {name: int(address) for name, address in memory.items()},
            self._grid,
            1,
            valid=valid,
            top=self._manifest.decision.top,
            threshold=self._threshold,
        )

    def _kind(self, names: list[str]) -> Kind:
        kinds: set[Kind] = {"float16" if self._tensors[name].dtype == np.float16 else "float32" for name in names}
        if len(kinds) > 1:
            raise EngineError(f"the kernels take tensors of one type, and {', '.join(names)} are of two")
        return kinds.pop()

    def _upload(self, array: NDArray[Any]) -> Any:
        memory = self._cuda.allocate(array.nbytes)
        self._stream.upload(memory, array)
        return memory
