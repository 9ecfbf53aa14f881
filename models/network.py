from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from models.teacher import Teacher


class Network(nn.Module, ABC):
    """The network of a system: a frozen teacher, and what learned from good parts beside it.

    `forward` takes a normalised picture, (N, 3, H, W) with H and W multiples of 32. It gives the teacher's and the
    student's features, two lists of (N, C_k, H_k, W_k) whose cosine distances are the anomaly map; or, where
    `gives_map` is true, an anomaly map of lower resolution, (N, 1, h, w).

    Attributes:
        name: What the command line, the checkpoint and the bundle call the system.
        gives_map: Whether `forward` gives a map, and not features.
        teacher: The frozen teacher.
    """

    name: ClassVar[str]
    gives_map: ClassVar[bool] = False
    teacher: Teacher

    @abstractmethod
    def anomaly_map(self, image: Tensor) -> Tensor:
        """Return the anomaly map of (N, 3, H, W) normalised pictures, (N, 1, H, W) float32."""
