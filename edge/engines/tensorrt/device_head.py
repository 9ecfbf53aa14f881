"""The steps before and after the network, on the GPU: launches of edge/kernels and the memory that they use."""

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
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.placement import Placement
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
class FrameLaunches:
    """Memory and launches for frames of one size.

    Attributes:
        placement: Position of the map in the frame.
        view: x, y, width and height of the area of the frame that the network sees.
        seen: Page-locked memory for that area, (height, width, 3) uint8. Only this area is copied to the GPU.
        on_device: Device memory for the same area.
        between: Device memory for the pictures between the steps of the resize.
        before: Launches that turn the area into the network's input.
        after: Launch that turns the low-resolution maps into anomaly map and score.
    """

    placement: Placement
    view: tuple[int, int, int, int]
    seen: NDArray[np.uint8]
    on_device: Any
    between: list[Any]
    before: list[Launch]
    after: Launch


class DeviceHead:
    """The steps before and after the network, on the GPU: frame to input, and outputs to anomaly map and score.

    The network runs on one tile at a time. So features are compared while they are still in the GPU's cache, and need
    memory for only one tile.

    Args:
        cuda: The GPU.
        stream: Stream in which the constants are copied to the device.
        bundle: The bundle.
        precision: The precision whose pixel threshold is used for the mask.
        tensors: Inputs and outputs of the network, by name.
        memory: Device memory of each tensor. That of the input holds all tiles of a frame.

    Attributes:
        after_tile: Launches that follow the network, for each tile.
        result: Device memory of map and score.
        values: The map in page-locked memory, (height, width) float32, of the canvas's size.
        back: Map and score as one array, so that one copy brings back both.

    Raises:
        EngineError: The outputs differ in type, or have more scales than the kernels support.
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
        self._fit = bundle.fit
        self._grid = self._fit.grid
        self._threshold = bundle.manifest.decision.thresholds[precision].pixel
        outputs = bundle.manifest.outputs
        names = [outputs.map] if isinstance(outputs, MapOutput) else outputs.teacher
        sizes = [(tensors[name].shape[-2], tensors[name].shape[-1]) for name in names]
        self._tables = head_tables(sizes, self._grid, bundle.manifest.decision.sigma)
        self._constants = [{name: self._upload(array) for name, array in t.arrays.items()} for t in self._tables]
        self._blind = None if self._fit.areas is None else self._upload(self._fit.blind)
        self._weights = None if self._fit.weights is None else self._upload(self._fit.weights)
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
        """Score of the map that was copied back last."""
        return float(self.back[-1])

    def prepare(self, fit: Fit, width: int, height: int) -> FrameLaunches:
        """Return the launches for frames of one size, and allocate their memory.

        Args:
            fit: The bundle's fit, or the fit of frames that already have the canvas's size.
            width: Width of the frames in pixels.
            height: Height of the frames in pixels.

        Raises:
            UsageError: The region of interest lies outside the frames.
            EngineError: The frame covers fewer pixels of the map than the score is the mean of.
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
            blind=0 if self._blind is None or fit.areas is None else int(self._blind),
        )
        after = self._join(made.placement)
        return FrameLaunches(made.placement, made.view, seen, on_device, between, before, after)

    def image(self, tile: int) -> int:
        """Return the device address of the network's input for a tile."""
        name = self._manifest.input.name
        return self._at[name] + tile * self._tensors[name].nbytes

    def _compare(self, tile: int, sizes: list[tuple[int, int]]) -> list[Launch]:
        columns = self._grid.columns
        row, column = divmod(tile, columns)
        # The maps of all tiles are one picture on the device, and each tile writes into its area of it.
        to = [int(low) + 4 * w * (row * h * columns + column) for low, (h, w) in zip(self._low, sizes, strict=True)]
        outputs = self._manifest.outputs
        if isinstance(outputs, MapOutput):
            return [arrange(self._at[outputs.map], to[0], sizes[0], 1, kind=self._kind([outputs.map]), columns=columns)]
        scales = [
            FeaturePair(self._at[teacher], self._at[student], place, self._tensors[teacher].shape[1], *size)
            for teacher, student, place, size in zip(outputs.teacher, outputs.student, to, sizes, strict=True)
        ]
        return [distance(scales, 1, kind=self._kind([*outputs.teacher, *outputs.student]), columns=columns)]

    def _join(self, placement: Placement) -> Launch:
        addresses = [
            {"map": int(low)} | {name: int(memory) for name, memory in constants.items()}
            for low, constants in zip(self._low, self._constants, strict=True)
        ]
        score = int(self.result) + self.back.nbytes - 4
        memory = {"map": self.result, "mask": self._mask, "score": score, "peaks": self._peaks, "done": self._done}
        if self._weights is not None:
            memory["weights"] = self._weights
        return head_launch(
            self._tables,
            addresses,
            {name: int(address) for name, address in memory.items()},
            self._grid,
            1,
            valid=placement.valid,
            counted=int(np.count_nonzero(placement.looked_at(self._grid.canvas))),
            top=self._manifest.decision.top,
            threshold=self._threshold,
        )

    def _kind(self, names: list[str]) -> Kind:
        kinds: set[Kind] = {"float16" if self._tensors[name].dtype == np.float16 else "float32" for name in names}
        if len(kinds) > 1:
            raise EngineError(f"the kernels need tensors of one type, but {', '.join(names)} have two")
        return kinds.pop()

    def _upload(self, array: NDArray[Any]) -> Any:
        memory = self._cuda.allocate(array.nbytes)
        self._stream.upload(memory, array)
        return memory
