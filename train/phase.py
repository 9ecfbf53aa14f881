"""A phase of a training: which parts learn, from what, by which loss and at which rate."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from typing_extensions import override

from models.aand import AmplifiedDistillation
from models.rd import ReverseDistillation
from train.material import Features, Material

Schedule = Callable[[float], float]


def constant(progress: float) -> float:
    """RD4AD's schedule: none."""
    return 1.0


def steps(progress: float) -> float:
    """AAND's schedule: a fifth at 80 % of the epochs, a twenty-fifth at 90 %."""
    return 1.0 if progress < 0.8 else 0.2 if progress < 0.9 else 0.04


def cosine(progress: float) -> float:
    """Half a cosine, to 0."""
    return 0.5 + 0.5 * math.cos(math.pi * progress)


class Phase(ABC):
    """A part of a training with an optimiser of its own.

    Attributes:
        name: What progress, losses and the checkpoint call it.
        epochs: Passes over the training pictures.
        rate: The learning rate at its start.
        weight_decay: Adam's.
        parts: The modules that learn.
        schedule: The learning rate as a share of its start, by progress in [0, 1).
    """

    name: str
    weight_decay = 0.0

    def __init__(
        self, material: Material, epochs: int, rate: float, parts: Sequence[nn.Module], schedule: Schedule
    ) -> None:
        self.material, self.epochs, self.rate = material, epochs, rate
        self.parts, self.schedule = parts, schedule

    @abstractmethod
    def begin(self) -> None:
        """Prepares what all epochs share; called once, after a resumed model has its weights."""

    @abstractmethod
    def batches(self, epoch: int) -> Iterator[Any]:
        """What `loss` takes, step by step."""

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """The loss of a batch: a scalar."""


class Distillation(Phase):
    """The student learns to predict the teacher's features (RD4AD), or the amplified ones (AAND, stage II)."""

    name = "distillation"
    _features: Features

    def __init__(
        self,
        model: ReverseDistillation | AmplifiedDistillation,
        material: Material,
        epochs: int,
        rate: float,
        schedule: Schedule,
    ) -> None:
        super().__init__(material, epochs, rate, [model.bottleneck, model.decoder], schedule)
        self._model = model

    @override
    def begin(self) -> None:
        self._features = self.material.features(self._model.targets, "features")

    @override
    def batches(self, epoch: int) -> Iterator[list[Tensor]]:
        return (self._features.batch(index) for index in self.material.order(epoch))

    @override
    def loss(self, batch: list[Tensor]) -> Tensor:
        return self._model.loss(batch)
