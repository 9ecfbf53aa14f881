"""What values flow through a network on real pictures: INT8 scales and biases are made from them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_inspect.edge.engines.openvino import CORE, compile_model
from edge_inspect.train.progress import tracked

BINS = 4096
"""Two thousand at least over the values seen, however late the largest came."""


THINNED, EACH = 1 << 15, 5
"""Of a tensor with more values every fifth is counted, in a tenth of the time; by turns: no column is left out."""


class Histogram:
    """Counts of absolute values that grows with them: a value beyond its end doubles the width of all bins.

    So one pass will do, and a late large value coarsens nothing by more than a factor of two.

    Attributes:
        counts: (BINS,) float64, over [0, `end`) evenly.
        end: Where the last bin ends.
        largest: The largest value seen.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS)
        self.end = 0.0
        self.largest = 0.0
        self._turn = 0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count values of any sign; of very many only some, but the largest always."""
        largest = max(float(values.max()), -float(values.min()))
        self.largest = max(self.largest, largest)
        if self.end == 0:
            self.counts[0] += values.size if largest == 0 else 0
            self.end = largest
        while 0 < self.end < largest:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(1), np.zeros(BINS // 2)])
            self.end *= 2
        if self.end > 0:
            counted = values.ravel()
            if values.size > THINNED:
                counted, self._turn = counted[self._turn :: EACH], (self._turn + 1) % EACH
            index = np.minimum((np.abs(counted) * (BINS / self.end)).astype(np.intp), BINS - 1)
            self.counts += np.bincount(index, minlength=BINS)


class Activation:
    """The values of one tensor.

    Attributes:
        histogram: All of them.
    """

    def __init__(self) -> None:
        self.histogram = Histogram()
        self._sums: NDArray[np.float64] | float = 0.0
        self._pictures = 0

    def add(self, values: NDArray[np.float32]) -> None:
        """Take in those of a picture, (1, channels, ...)."""
        self.histogram.add(values)
        self._sums = self._sums + values.reshape(values.shape[1], -1).mean(axis=1, dtype=np.float64)
        self._pictures += 1

    @property
    def means(self) -> NDArray[np.float64]:
        """The mean of each channel, (channels,)."""
        return np.asarray(self._sums) / self._pictures


def collect(
    model: onnx.ModelProto, tensors: Sequence[str], images: Sequence[NDArray[np.float32]]
) -> dict[str, Activation]:
    """Return what flows in each tensor, in one pass over the images.

    Args:
        model: The float32 network.
        tensors: Names of the tensors to look at.
        images: Network inputs, (1, 3, H, W) each.
    """
    network = CORE.read_model(io.BytesIO(model.SerializeToString()))
    there = {value.name for value in [*model.graph.input, *model.graph.output]}
    network.add_outputs([name for name in tensors if name not in there])
    request = compile_model(network).create_infer_request()
    activations = {name: Activation() for name in tensors}
    picture = model.graph.input[0].name
    for image in tracked(images, len(images), "calibration", "images"):
        request.infer([image])
        for name, activation in activations.items():
            activation.add(image if name == picture else request.get_tensor(name).data)
    return activations
