from __future__ import annotations

from torch import Tensor

from edge_inspect.models.bottleneck import OCBE
from edge_inspect.models.decoder import ReverseDecoder
from edge_inspect.models.discrepancy import anomaly_map
from edge_inspect.models.losses import flattened_cosine
from edge_inspect.models.network import Network, sum_of_distances
from edge_inspect.models.teacher import Teacher
from edge_inspect.models.width import StudentWidth


class ReverseDistillation(Network):
    """RD4AD: anomaly detection via reverse distillation from a one-class embedding (arXiv 2201.10703).

    Args:
        teacher: The frozen teacher. Bottleneck and decoder are built after its channels and blocks.
        student_width: Channels inside bottleneck and decoder: the teacher's, or half of them.

    Raises:
        ValueError: There is no such width.
    """

    name = "rd"

    def __init__(self, teacher: Teacher, student_width: StudentWidth = "full") -> None:
        super().__init__()
        self.teacher = teacher
        self.bottleneck = OCBE(teacher.channels, teacher.style, student_width)
        self.decoder = ReverseDecoder(teacher.channels, teacher.style, teacher.signed, student_width)

    def targets(self, image: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W), H and W multiples of 32, to the teacher's features, which the student learns to predict."""
        features: list[Tensor] = self.teacher(image)
        return features

    def student(self, features: list[Tensor]) -> list[Tensor]:
        """Return the student's prediction of the teacher's features, in the same shapes and order. It is trained."""
        return self.decoder(self.bottleneck(features))

    def forward(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Map (N, 3, H, W) to the teacher's and the student's features."""
        features = self.targets(image)
        return features, self.student(features)

    def map_of(self, image: Tensor, features: list[Tensor]) -> Tensor:
        """Map teacher features (N, c_k, H_k, W_k) to the summed distances, (N, 1, H / 4, W / 4)."""
        return sum_of_distances(features, self.student(features))

    def anomaly_map(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) to the upsampled and smoothed anomaly map, (N, 1, H, W) float32."""
        teacher, student = self(image)
        return anomaly_map(teacher, student, image.shape[-2:])

    def loss(self, features: list[Tensor]) -> Tensor:
        """Return the training loss for a batch of teacher features, a scalar."""
        return flattened_cosine(features, self.student(features))
