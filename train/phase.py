"""A phase of a training: which parts learn, from what, with which loss and at which rate."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from typing import Any

from torch import Tensor, nn
from typing_extensions import override

from edge_inspect.models.aand import AmplifiedDistillation
from edge_inspect.models.rd import ReverseDistillation
from edge_inspect.train.material import FrozenFeatures, Material

Schedule = Callable[[float], float]

DECAY = "decay"
RECIPES = (DECAY, "paper")
"""Recipes of learning rates: `decay` uses `settle` as the schedule of every phase, `paper` the phase's own schedule."""

SETTLING = 0.5
"""Share of a phase's steps in which `settle` lowers the rate."""

POINTS = 100
"""Approximate number of mean losses that are kept for a phase."""


def constant(progress: float) -> float:
    """Return RD4AD's schedule, which is constant."""
    return 1.0


def step_decay(progress: float) -> float:
    """Return AAND's schedule: a fifth from 80 % of the steps on, a twenty-fifth from 90 % on."""
    return 1.0 if progress < 0.8 else 0.2 if progress < 0.9 else 0.04


def cosine(progress: float) -> float:
    """Return half a cosine that falls to 0."""
    return 0.5 + 0.5 * math.cos(math.pi * progress)


def settle(progress: float) -> float:
    """Return our schedule: constant, then half a cosine to 0, so that the last step is no worse than the others.

    At a constant rate of Adam the student keeps moving about, and chance decides which of its states is shipped.
    """
    return cosine(max(0.0, 1 - (1 - progress) / SETTLING))


class Phase(ABC):
    """A part of a training with an optimiser of its own.

    Attributes:
        name: Name of the phase in progress messages, losses and the checkpoint.
        steps: Number of optimiser steps.
        rate: Learning rate at the start.
        weight_decay: Weight decay of Adam.
        parts: Modules that learn.
        schedule: The paper's learning rate as a share of the rate at the start, by progress in [0, 1).
    """

    name: str
    weight_decay = 0.0

    def __init__(
        self, material: Material, steps: int, rate: float, parts: Sequence[nn.Module], schedule: Schedule
    ) -> None:
        self.material, self.steps, self.rate = material, steps, rate
        self.parts, self.schedule = parts, schedule

    @property
    def every(self) -> int:
        """Number of steps from one mean loss, and one chance to save, to the next."""
        return math.ceil(self.steps / POINTS)

    @abstractmethod
    def begin(self) -> None:
        """Prepare what all steps share; called once, after a resumed model has its weights."""

    @abstractmethod
    def batches(self, first: int) -> Generator[Any, None, None]:
        """Yield the argument of `loss` for each step, from step `first` (0 is the phase's first) to the last."""

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """Return the loss of a batch, a scalar."""


class Distillation(Phase):
    """The student learns to predict the teacher's features (RD4AD), or the amplified ones (AAND, stage II)."""

    name = "distillation"
    _features: FrozenFeatures

    def __init__(
        self,
        model: ReverseDistillation | AmplifiedDistillation,
        material: Material,
        steps: int,
        rate: float,
        schedule: Schedule,
    ) -> None:
        super().__init__(material, steps, rate, [model.bottleneck, model.decoder], schedule)
        self._model = model

    @override
    def begin(self) -> None:
        self._features = self.material.features(self._model.targets, "features")

    @override
    def batches(self, first: int) -> Generator[list[Tensor], None, None]:
        return (self._features.batch(turn.index) for turn in self.material.turns(range(first, self.steps)))

    @override
    def loss(self, batch: list[Tensor]) -> Tensor:
        return self._model.loss(batch)
