"""What each system learns, phase by phase: which parts, from what, by which loss and at which rate."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from models.aand import AmplifiedDistillation
from models.dmdd import DecoupledDistillation
from models.rd import ReverseDistillation
from train.material import Defects, Features, Material

WITH_DEFECT = 0.8
FORWARD_SHARE = 0.2
HEAD_SHARE = 0.2
SEGMENTATION_TURNS = 1_000_000


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


class Amplification(Phase):
    """AAND, stage I: gates and residuals learn from synthetic defects, four pictures in five."""

    name = "amplification"

    def __init__(self, model: AmplifiedDistillation, material: Material, epochs: int, rate: float) -> None:
        super().__init__(material, epochs, rate, [model.amplification], steps)
        self._model = model

    @override
    def begin(self) -> None:
        """Nothing is shared: every batch has new defects."""

    @override
    def batches(self, epoch: int) -> Iterator[tuple[Defects, torch.Generator]]:
        generator = torch.Generator().manual_seed(self.material.seed * 1_000_003 + epoch)
        return ((batch, generator) for batch in self.material.defects(epoch, WITH_DEFECT))

    @override
    def loss(self, batch: tuple[Defects, torch.Generator]) -> Tensor:
        defects, generator = batch
        features = self._model.teacher(defects.images)
        return self._model.amplification_loss(features, defects.masks, defects.foregrounds, generator)


class Decoupling(Phase):
    """DMDD, phase A: both branches of the student learn from pairs of a good picture and the same with a defect."""

    name = "decoupling"
    _features: Features

    def __init__(self, model: DecoupledDistillation, material: Material, epochs: int, rate: float) -> None:
        parts = [model.trunk, model.decouple, model.normality, model.abnormality]
        share, schedule = (1.0, constant) if model.reverse else (FORWARD_SHARE, cosine)
        super().__init__(material, epochs, rate * share, parts, schedule)
        self._model = model

    @override
    def begin(self) -> None:
        self._features = self.material.features(self._model.teacher, "features")

    @override
    def batches(self, epoch: int) -> Iterator[Defects]:
        # A pair is two images, so half as many of them make a step of the usual size, and a pass has twice the steps.
        return self.material.defects(epoch, batch=max(2, self.material.batch // 2))

    @override
    def loss(self, batch: Defects) -> Tensor:
        good = self.material.images(batch.index)
        return self._model.student_loss(good, batch.images, batch.masks, self._features.batch(batch.index))


class Segmentation(Phase):
    """DMDD, phase B: the head learns to find defects in the frozen student's maps, half of them of good pictures."""

    name = "segmentation"
    weight_decay = 1e-4
    _good: Features

    def __init__(self, model: DecoupledDistillation, material: Material, epochs: int, rate: float) -> None:
        super().__init__(material, epochs, rate * HEAD_SHARE, [model.head], constant)
        self._model = model

    @override
    def begin(self) -> None:
        self._good = self.material.features(lambda images: [self._model.distances(images)], "maps of good pictures")

    @override
    def batches(self, epoch: int) -> Iterator[Defects]:
        # Other defects than the student has seen.
        return self.material.defects(SEGMENTATION_TURNS + epoch)

    @override
    def loss(self, batch: Defects) -> Tensor:
        with torch.no_grad():
            distances = torch.cat([*self._good.batch(batch.index), self._model.distances(batch.images)])
        masks = torch.cat([torch.zeros_like(batch.masks), batch.masks])
        return self._model.head_loss(distances, masks)


def phases_of(model: nn.Module, material: Material, epochs: int, rate: float) -> list[Phase]:
    """The phases of a system's training, in order; `epochs` are those of the longest, the published shares hold."""
    if isinstance(model, AmplifiedDistillation):
        first = Amplification(model, material, max(1, round(epochs * 100 / 120)), rate)
        return [first, Distillation(model, material, epochs, rate, steps)]
    if isinstance(model, DecoupledDistillation):
        last = Segmentation(model, material, max(1, round(epochs * 3000 / 5000)), rate)
        return [Decoupling(model, material, epochs, rate), last]
    assert isinstance(model, ReverseDistillation)
    return [Distillation(model, material, epochs, rate, constant)]


def synthesis_of(name: str) -> dict[str, float] | None:
    """How the system `name` wants its synthetic defects, or `None` where it learns from good pictures alone.

    AAND as published. DMDD's structural defects, and colours changed half the time, are ours (METHODS.md 3.b).
    """
    wanted: dict[str, dict[str, float]] = {
        AmplifiedDistillation.name: {"self_texture": 0.0, "jitter": 1.0},
        DecoupledDistillation.name: {"self_texture": 0.25, "jitter": 0.5},
    }
    return wanted.get(name)
