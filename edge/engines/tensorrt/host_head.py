"""The steps before and after the network, on the processor: normalisation and discrepancy, with numpy.

They serve engines whose graph is only the network. If the GPU's kernels can be compiled, DeviceHead replaces them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.bundle.manifest import Manifest, MapOutput
from edge_inspect.edge.discrepancy import EPSILON, head_matrix
from edge_inspect.edge.frame.images import Frame

NetworkOutputs = Mapping[str, NDArray[Any]]
"""The network's outputs by name: (1, C, h, w) float32 or float16, or a (1, 1, h, w) map."""


class HostHead:
    """The steps before and after the network, on the processor, in buffers of its own.

    Args:
        manifest: Manifest of the bundle.
        shapes: Shapes of the network's outputs, by name.
    """

    def __init__(self, manifest: Manifest, shapes: Mapping[str, Sequence[int]]) -> None:
        fit, outputs = manifest.input.fit, manifest.outputs
        std = np.array(manifest.input.std, np.float32)
        self._scale, self._shift = 1 / (255 * std), -np.array(manifest.input.mean, np.float32) / std
        self._pairs = (
            None if isinstance(outputs, MapOutput) else list(zip(outputs.teacher, outputs.student, strict=True))
        )
        self._maps = [outputs.map] if isinstance(outputs, MapOutput) else outputs.teacher
        sizes = [shapes[name][-2:] for name in self._maps]
        sigma = manifest.decision.sigma
        self._down = [head_matrix(height, fit["height"], sigma) for height, _ in sizes]
        self._across = [np.ascontiguousarray(head_matrix(width, fit["width"], sigma).T) for _, width in sizes]
        self._values = np.empty((fit["height"], fit["width"]), np.float32)
        self._part = np.empty_like(self._values)

    def load(self, tile: Frame, image: NDArray[Any]) -> None:
        """Write a tile, (H, W, 3) uint8 BGR, normalised into the network's input, (1, 3, H, W) RGB."""
        for channel in range(3):
            plane = image[0, channel]
            np.multiply(tile[:, :, 2 - channel], self._scale[channel], out=plane, casting="same_kind")
            plane += self._shift[channel]

    def map(self, features: NetworkOutputs) -> NDArray[np.float32]:
        """Return the anomaly map of a tile, (H, W) float32, valid until the next call (edge/discrepancy.py)."""
        for k, name in enumerate(self._maps):
            distance = features[name][0, 0] if self._pairs is None else _cosine_distance(features, *self._pairs[k])
            out = self._part if k else self._values
            np.matmul(self._down[k] @ distance.astype(np.float32, copy=False), self._across[k], out=out)
            if k:
                self._values += self._part
        return self._values


def _cosine_distance(features: NetworkOutputs, teacher: str, student: str) -> NDArray[np.float32]:
    """Return `1 - cos` over channels, (h, w) float32."""
    t, s = (features[name][0].astype(np.float32, copy=False) for name in (teacher, student))

    def total(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.einsum("chw,chw->hw", a, b))

    norms = np.maximum(np.sqrt(total(t, t)), EPSILON) * np.maximum(np.sqrt(total(s, s)), EPSILON)
    return np.asarray(1 - total(t, s) / norms, np.float32)
