"""AAND: amplification on synthetic defects, then distillation on good pictures."""

from __future__ import annotations

import itertools
from collections.abc import Generator

import torch
from torch import Tensor
from typing_extensions import override

from edge_inspect.models.aand import AmplifiedDistillation
from edge_inspect.train.material import Defects, Material
from edge_inspect.train.phase import Distillation, Phase, step_decay
from edge_inspect.train.systems.system import STUDENT_WIDTH, System

WITH_DEFECT = 0.8
FIRST_SHARE = 100 / 120
"""Length of the first phase as a share of the second phase's steps, as published."""


class Amplification(Phase):
    """AAND, stage I: gates and residuals learn from synthetic defects, which four pictures in five have."""

    name = "amplification"

    def __init__(self, model: AmplifiedDistillation, material: Material, steps: int, rate: float) -> None:
        super().__init__(material, steps, rate, [model.amplification], step_decay)
        self._model = model

    @override
    def begin(self) -> None:
        """Do nothing: every batch has new defects, so there is nothing to prepare once."""

    @override
    def batches(self, first: int) -> Generator[tuple[Defects, torch.Generator], None, None]:
        drawn = self.material.defects(range(first, self.steps), WITH_DEFECT)
        for step, batch in zip(itertools.count(first), drawn, strict=False):
            yield batch, torch.Generator().manual_seed(self.material.seed * 1_000_003 + step)

    @override
    def loss(self, batch: tuple[Defects, torch.Generator]) -> Tensor:
        defects, generator = batch
        features = self._model.teacher(defects.images)
        return self._model.amplification_loss(features, defects.masks, defects.foregrounds, generator)


def phases(model: AmplifiedDistillation, material: Material, steps: int, rate: float) -> list[Phase]:
    """Return AAND's two phases; `steps` is the length of the second."""
    first = Amplification(model, material, max(1, round(steps * FIRST_SHARE)), rate)
    return [first, Distillation(model, material, steps, rate, step_decay)]


SYSTEM = System(
    AmplifiedDistillation,
    "learns from synthetic defects too",
    phases,
    options=(STUDENT_WIDTH,),
    synthesis={"self_texture": 0.0, "jitter": 1.0},
)
