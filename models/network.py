from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from edge_inspect.models.discrepancy import cosine_distance, gaussian_blur, upsample
from edge_inspect.models.teacher import Teacher


class Network(nn.Module, ABC):
    """The network of a system: a frozen teacher, and what learns from good parts beside it.

    `forward` takes a normalised picture, (N, 3, H, W) with H and W multiples of 32. It returns the teacher's and the
    student's features, two lists of (N, C_k, H_k, W_k) whose cosine distances make the anomaly map. If `gives_map` is
    true, it returns an anomaly map of lower resolution instead, (N, 1, h, w).

    Attributes:
        name: Name of the system on the command line, in the checkpoint and in the bundle.
        gives_map: Whether `forward` returns a map instead of features.
        teacher: The frozen teacher.
    """

    name: str
    gives_map: bool = False
    teacher: Teacher

    @abstractmethod
    def map_of(self, image: Tensor, features: list[Tensor]) -> Tensor:
        """Return the anomaly map before any smoothing, (N, 1, h, w).

        Args:
            image: Normalised pictures, (N, 3, H, W).
            features: Teacher features of these pictures.
        """

    def forward(self, image: Tensor) -> Tensor | tuple[list[Tensor], list[Tensor]]:
        """Return the map before any smoothing; networks that return features override this."""
        return self.map_of(image, self.teacher(image))

    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the anomaly map of (N, 3, H, W) normalised pictures, upsampled and smoothed: (N, 1, H, W) float32."""
        return gaussian_blur(upsample(self.map_of(image, self.teacher(image)).float(), image.shape[-2:]))


def sum_of_distances(teacher: list[Tensor], student: list[Tensor]) -> Tensor:
    """Return the sum of the cosine distances of all scales, upsampled to the size of the first: (N, 1, H_1, W_1)."""
    size = teacher[0].shape[-2:]
    first, *others = (upsample(cosine_distance(t, s), size) for t, s in zip(teacher, student, strict=True))
    for other in others:
        first = first + other
    return first
