"""Describes a region of a picture as the memory of a bundle sees it."""

from __future__ import annotations

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.engines.openvino import compile_model, read_onnx, with_head
from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.images import Frame

_UNIT = 1e-3


class MemoryFeatures:
    """The float32 network of a bundle, with the directions that its memory compares as further outputs.

    Args:
        bundle: The bundle.
        threads: Number of processor threads.

    Raises:
        EngineError: OpenVINO cannot build the network.
        BundleError: The network is missing or damaged.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self._fit = bundle.fit
        try:
            network = read_onnx(bundle, "fp32")
            directions = find_directions(network)
            self.banks = len(directions)
            if directions:
                model = with_head(network, bundle.manifest)
                model.add_outputs(directions)
                self._request = compile_model(model, threads).create_infer_request()
        except RuntimeError as error:
            why = " ".join(str(error).split())
            raise EngineError(f"{bundle.path}: OpenVINO cannot open the network at its memory: {why}") from error

    def describe(self, frame: Frame) -> NDArray[np.float32] | None:
        """Return the directions at the most unusual position, of all banks together, as a unit vector.

        Args:
            frame: The picture, (height, width, 3) uint8 BGR.

        Returns:
            The vector, (C,); `None` if the part was not found in the picture.
        """
        canvas, placement = self._fit.apply(frame)
        if not placement.found:
            return None
        looked_at, weights = placement.looked_at(self._fit.canvas), placement.weights
        best, found = -np.inf, None
        for place in self._fit.grid.places():
            self._request.infer([canvas[place][None]])
            values = self._request.get_output_tensor(0).data.reshape(self._fit.height, self._fit.width)
            weighted = values if weights is None else values * weights[place]
            shown = np.where(looked_at[place], weighted, -np.inf)
            if shown.max() > best:
                best = float(shown.max())
                y, x = np.unravel_index(int(shown.argmax()), shown.shape)
                found = self._directions_at(int(y), int(x))
        return found

    def _directions_at(self, y: int, x: int) -> NDArray[np.float32]:
        vectors = []
        for bank in range(self.banks):
            directions = self._request.get_output_tensor(1 + bank).data[0]
            row = y * directions.shape[1] // self._fit.height
            column = x * directions.shape[2] // self._fit.width
            vectors.append(directions[:, row, column].copy())
        joined = np.concatenate(vectors).astype(np.float32)
        return joined / max(float(np.linalg.norm(joined)), 1e-9)


def find_directions(network: ov.Model) -> list[ov.Output]:
    """Return what the banks of a network's memory compare with their prototypes; none if it has no memory.

    A bank divides features by their length, computes the cosines with its prototypes by a 1x1 convolution, and takes
    the largest over channels.
    """
    found = []
    for node in network.get_ordered_ops():
        if node.get_type_name() != "ReduceMax":
            continue
        convolution = node.input_value(0).get_node()
        if convolution.get_type_name() != "Convolution":
            continue
        source, weights = convolution.input_value(0), convolution.input_value(1).get_node()
        if source.get_node().get_type_name() == "Divide" and _holds_prototypes(weights):
            found.append(source)
    return found


def _holds_prototypes(node: ov.Node) -> bool:
    """Return whether a node is the weights of a 1x1 convolution whose rows have unit length."""
    if node.get_type_name() != "Constant" or list(node.shape[2:]) != [1, 1]:
        return False
    rows = node.get_data().reshape(node.shape[0], -1).astype(np.float32)
    return bool(np.abs(np.linalg.norm(rows, axis=1) - 1).max() < _UNIT)
