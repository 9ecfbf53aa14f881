"""The values that flow through a network on real pictures: INT8 scales and biases are computed from them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from edge_inspect.edge.engines.openvino import CORE, compile_model
from edge_inspect.train.progress import tracked

BINS = 4096
"""At least two thousand of them cover the values seen, even if the largest came late."""


THINNED, EACH = 1 << 15, 5
"""If a tensor has more values, every fifth is counted, which takes a tenth of the time. The start moves from call to
call, so that no column is left out."""


class Histogram:
    """Counts of absolute values; it grows with them: a value beyond its end doubles the width of all bins.

    So one pass over the pictures is enough, and a large value that comes late at most halves the resolution.

    Attributes:
        counts: (BINS,) float64; the bins divide [0, `end`) evenly.
        end: Upper end of the last bin.
        largest: Largest value seen.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS)
        self.end = 0.0
        self.largest = 0.0
        self._turn = 0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count values of any sign; of very many values only some are counted, but always the largest."""
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
        histogram: Histogram of all values.
    """

    def __init__(self) -> None:
        self.histogram = Histogram()
        self._sums: NDArray[np.float64] | float = 0.0
        self._pictures = 0

    def add(self, values: NDArray[np.float32]) -> None:
        """Add the values of a picture, (1, channels, ...)."""
        self.histogram.add(values)
        self._sums = self._sums + values.reshape(values.shape[1], -1).mean(axis=1, dtype=np.float64)
        self._pictures += 1

    @property
    def means(self) -> NDArray[np.float64]:
        """Return the mean of each channel, (channels,)."""
        return np.asarray(self._sums) / self._pictures


def collect(
    model: onnx.ModelProto, tensors: Sequence[str], images: Sequence[NDArray[np.float32]]
) -> dict[str, Activation]:
    """Return the values that flow through each tensor, in one pass over the images.

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
