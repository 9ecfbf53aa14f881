"""A bundle's network, opened where the memory compares: directions and distances of each position."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_inspect.calibrate.teach.banks import Bank
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.openvino import compile_model, read_onnx, with_head
from edge_inspect.edge.engines.openvino_sums import fuses_sums, round_sums
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.images import Frame

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Value = TypeVar("Value", np.float32, np.bool_)


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


class Probe:
    """The network of a bundle, with the tensors that its memory compares as further outputs.

    Args:
        bundle: The bundle.
        banks: Banks of its memory, as they are in that precision.
        precision: `fp32` or `int8`.

    Raises:
        EngineError: OpenVINO cannot build the network.
    """

    def __init__(self, bundle: Bundle, banks: Sequence[Bank], precision: Precision = "fp32") -> None:
        self._fit, self._top = bundle.fit, bundle.manifest.decision.top
        try:
            network = read_onnx(bundle, precision)
            if precision == "int8" and fuses_sums():  # as the engine does
                round_sums(network)
            model = with_head(network, bundle.manifest)
            model.add_outputs([name for bank in banks for name in (bank.directions, bank.nearest)])
            self._request = compile_model(model).create_infer_request()
        except RuntimeError as error:
            why = " ".join(str(error).split())
            raise EngineError(f"{bundle.path}: OpenVINO cannot open the network at its memory: {why}") from error
        self._banks = banks

    def __enter__(self) -> Probe:
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


def _most(plane: NDArray[Value], grid: Sequence[int]) -> NDArray[Value]:
    """Return the largest value of a plane, (H, W), within each cell of a grid of (h, w) cells, as (h w,)."""
    height, width = grid
    cells = plane.reshape(height, plane.shape[0] // height, width, plane.shape[1] // width)
    largest: NDArray[Value] = cells.max(axis=(1, 3)).reshape(-1)
    return largest
