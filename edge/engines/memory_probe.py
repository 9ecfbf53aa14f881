"""A bundle's network, opened where the memory compares: directions and distances of each position."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.openvino import compile_model, read_network, read_onnx
from edge_inspect.edge.engines.openvino_graph import with_head
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.images import Frame

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Value = TypeVar("Value", np.float32, np.bool_)


_UNIT = 1e-3
"""Largest deviation of a prototype's length from 1."""


class Bank(Protocol):
    """A bank of a memory, by its tensors in the float32 network."""

    @property
    def directions(self) -> str:
        """Name of the tensor of unit vectors that are compared, (1, C, h, w)."""

    @property
    def nearest(self) -> str:
        """Name of the tensor with the cosine of the nearest prototype, (1, 1, h, w)."""


class FoundBank(NamedTuple):
    """A bank that was found in a network; see `Bank`."""

    directions: str
    nearest: str


class Observation(NamedTuple):
    """A picture as the memory sees it. Positions of all tiles follow each other.

    Attributes:
        found: Whether the part was found in the picture.
        grid: Rows and columns of the positions of a tile.
        score: The picture's score.
        values: Largest value of the anomaly map within each position that is looked at, (P,); 0 elsewhere.
        seen: Whether anything at a position is looked at, (P,).
        directions: Unit vectors that each bank compares, (P, C) each.
        distances: Distance of each from the bank's nearest prototype, (P,) each.
    """

    found: bool
    grid: tuple[int, int]
    score: float
    values: Floats
    seen: Bools
    directions: list[Floats]
    distances: list[Floats]


class MemoryProbe:
    """The network of a bundle, with the tensors that its memory compares as further outputs.

    Args:
        bundle: The bundle.
        banks: Banks of its memory, as they are in that precision; at least one.
        precision: `fp32` or `int8`.
        threads: Number of processor threads; 0 means all.

    Raises:
        EngineError: OpenVINO cannot build the network.
    """

    def __init__(self, bundle: Bundle, banks: Sequence[Bank], precision: Precision = "fp32", threads: int = 0) -> None:
        self._fit, self._top = bundle.fit, bundle.manifest.decision.top
        try:
            model = with_head(read_network(bundle, precision), bundle.manifest)
            model.add_outputs([name for bank in banks for name in (bank.directions, bank.nearest)])
            self._request = compile_model(model, threads).create_infer_request()
        except RuntimeError as error:
            raise _cannot_open(bundle, error) from error
        self._banks = banks

    def __enter__(self) -> MemoryProbe:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        del self._request

    def observe(self, frame: Frame) -> Observation:
        """Return what the memory sees in a frame."""
        canvas, placement = self._fit.apply(frame)
        looked_at = placement.looked_at(self._fit.canvas)
        maps, values, seen = [], [], []
        directions: list[list[Floats]] = [[] for _ in self._banks]
        distances: list[list[Floats]] = [[] for _ in self._banks]
        for place in self._fit.grid.places():
            self._request.infer([canvas[place][None]])
            maps.append(self._request.get_output_tensor(0).data.reshape(self._fit.height, self._fit.width).copy())
            for each, bank in enumerate(self._banks):
                vectors = self._request.get_tensor(bank.directions).data[0]
                directions[each].append(vectors.reshape(len(vectors), -1).T.copy())
                distances[each].append(1 - self._request.get_tensor(bank.nearest).data.reshape(-1))
            grid = (vectors.shape[1], vectors.shape[2])
            seen.append(_most(looked_at[place], grid))
            weighted = maps[-1] if placement.weights is None else maps[-1] * placement.weights[place]
            values.append(_most(np.where(looked_at[place], weighted, np.float32(0)), grid))
        score = self._score(np.stack(maps), looked_at, placement.weights)
        together = ([np.concatenate(each) for each in bank] for bank in (directions, distances))
        return Observation(placement.found, grid, score, np.concatenate(values), np.concatenate(seen), *together)

    def _score(self, maps: Floats, looked_at: Bools, weights: Floats | None) -> float:
        merged = self._fit.merge(maps) if len(maps) > 1 else maps[0]
        shown = (merged if weights is None else merged * weights)[looked_at]
        return float(shown.max() if self._top == 1 else np.partition(shown, -self._top)[-self._top :].mean())


def find_banks(bundle: Bundle) -> list[FoundBank]:
    """Return the banks of the memory in a bundle's float32 network; none if it has no memory.

    A bank divides features by their length, computes the cosines with its prototypes by a 1x1 convolution, and takes
    the largest over channels. `calibrate.teach.banks` finds the same in an ONNX file.

    Raises:
        EngineError: OpenVINO cannot read the network.
        BundleError: The network is missing or damaged.
    """
    try:
        network = read_onnx(bundle, "fp32")
    except RuntimeError as error:
        raise _cannot_open(bundle, error) from error
    found = []
    for node in network.get_ordered_ops():
        if node.get_type_name() != "ReduceMax":
            continue
        convolution = node.input_value(0).get_node()
        if convolution.get_type_name() != "Convolution":
            continue
        source, weights = convolution.input_value(0), convolution.input_value(1).get_node()
        if source.get_node().get_type_name() == "Divide" and _holds_prototypes(weights):
            found.append(FoundBank(source.get_any_name(), node.output(0).get_any_name()))
    return found


def _cannot_open(bundle: Bundle, error: RuntimeError) -> EngineError:
    why = " ".join(str(error).split())
    return EngineError(f"{bundle.path}: OpenVINO cannot open the network at its memory: {why}")


def _holds_prototypes(node: ov.Node) -> bool:
    """Return whether a node is the weights of a 1x1 convolution whose rows have unit length."""
    if node.get_type_name() != "Constant" or list(node.shape[2:]) != [1, 1]:
        return False
    rows = node.get_data().reshape(node.shape[0], -1).astype(np.float32)
    return bool(np.abs(np.linalg.norm(rows, axis=1) - 1).max() < _UNIT)


def _most(plane: NDArray[Value], grid: Sequence[int]) -> NDArray[Value]:
    """Return the largest value of a plane, (H, W), within each cell of a grid of (h, w) cells, as (h w,)."""
    height, width = grid
    cells = plane.reshape(height, plane.shape[0] // height, width, plane.shape[1] // width)
    largest: NDArray[Value] = cells.max(axis=(1, 3)).reshape(-1)
    return largest
