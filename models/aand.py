from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from edge_inspect.models.amplification import ResidualAmplification
from edge_inspect.models.bottleneck import OCBE
from edge_inspect.models.decoder import ReverseDecoder
from edge_inspect.models.discrepancy import anomaly_map
from edge_inspect.models.losses import amplification, flattened_cosine, focal, hardest_cosine
from edge_inspect.models.masks import mask_pyramid
from edge_inspect.models.network import Network, sum_of_distances
from edge_inspect.models.teacher import Teacher
from edge_inspect.models.width import StudentWidth

GATE_WEIGHT = 0.8
AMPLIFICATION_WEIGHT = 0.1


class AmplifiedDistillation(Network):
    """AAND: anomaly amplification, then normality distillation (arXiv 2405.02068; docs/methods.md).

    In the first stage only the amplification learns, from synthetic defects. In the second stage, bottleneck and
    decoder learn from good images to predict the amplified features. The teacher's layers always receive vanilla
    features.

    Args:
        teacher: The frozen teacher.
        student_width: Channels inside bottleneck and decoder: the teacher's, or half of them.

    Raises:
        ValueError: There is no such width.
    """

    name = "aand"

    def __init__(self, teacher: Teacher, student_width: StudentWidth = "full") -> None:
        super().__init__()
        self.teacher = teacher
        self.amplification = nn.ModuleList(ResidualAmplification(channels) for channels in teacher.channels)
        self.bottleneck = OCBE(teacher.channels, teacher.style, student_width)
        self.decoder = ReverseDecoder(teacher.channels, teacher.style, teacher.signed, student_width)

    def amplify(self, features: list[Tensor]) -> list[Tensor]:
        """Return the teacher's features, in the same shapes, amplified where the gates find them anomalous."""
        scales: Iterable[Any] = self.amplification
        return [raa(feature, raa.gate(feature)) for raa, feature in zip(scales, features, strict=True)]

    def targets(self, image: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W), H and W multiples of 32, to the amplified features, which the student learns to predict."""
        return self.amplify(self.teacher(image))

    def student(self, amplified: list[Tensor]) -> list[Tensor]:
        """Return the student's prediction of the amplified features."""
        return self.decoder(self.bottleneck(amplified))

    def forward(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Map (N, 3, H, W) to the amplified teacher's and the student's features."""
        amplified = self.targets(image)
        return amplified, self.student(amplified)

    def map_of(self, image: Tensor, features: list[Tensor]) -> Tensor:
        """Map teacher features (N, c_k, H_k, W_k) to summed distances of the amplified ones, (N, 1, H / 4, W / 4)."""
        amplified = self.amplify(features)
        return sum_of_distances(amplified, self.student(amplified))

    def anomaly_map(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) to the upsampled and smoothed anomaly map, (N, 1, H, W) float32."""
        amplified, student = self(image)
        return anomaly_map(amplified, student, image.shape[-2:])

    def amplification_loss(
        self,
        features: list[Tensor],
        masks: Tensor,
        foregrounds: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the first stage's loss: focal for gates, amplification for residuals (docs/methods.md, "AAND").

        The residual is applied where the true mask says, not the gate, so each part learns from its own loss alone.

        Args:
            features: Teacher features of images with synthetic defects.
            masks: Masks of the defects, (N, 1, H, W), 0 or 1.
            foregrounds: Masks of the parts, (N, 1, H, W), 0 or 1.
            generator: Random generator that draws positions.
        """
        total = features[0].new_zeros((), dtype=torch.float32)
        anomalous, parts = mask_pyramid(masks, features), mask_pyramid(foregrounds, features)
        scales: Iterable[Any] = self.amplification
        for raa, feature, marked, part in zip(scales, features, anomalous, parts, strict=True):
            total = total + focal(raa.gate(feature), marked, alpha=GATE_WEIGHT)
            amplified = raa(feature, marked)
            pushed = amplification(feature, amplified, marked, (1 - marked) * part, generator)
            total = total + AMPLIFICATION_WEIGHT * pushed
        return total

    def loss(self, amplified: list[Tensor]) -> Tensor:
        """Return the second stage's loss: reverse distillation and hard-knowledge distillation (docs/methods.md)."""
        student = self.student(amplified)
        return flattened_cosine(amplified, student) + hardest_cosine(amplified, student)
