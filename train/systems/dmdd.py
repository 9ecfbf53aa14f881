"""DMDD: both branches of the student learn from pairs, then the segmentation head learns, then a map is chosen."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from edge_inspect.models.dmdd import TRUNKS, DecoupledDistillation
from edge_inspect.train.material import Defects, FrozenFeatures, Material
from edge_inspect.train.mixture import CHOSEN, MAPS, choose_mixture
from edge_inspect.train.phase import Phase, constant, cosine
from edge_inspect.train.systems.system import STUDENT_WIDTH, System, choice
from edge_inspect.train.validation import Unseen

FORWARD_SHARE = 0.2
HEAD_SHARE = 0.2
LAST_SHARE = 3000 / 5000
"""Length of the second phase as a share of the first phase's steps."""
SEGMENTATION_PASSES = 1_000_000


class Decoupling(Phase):
    """DMDD, phase A: both branches of the student learn from pairs: a good picture, and the same with a defect."""

    name = "decoupling"
    _features: FrozenFeatures

    def __init__(self, model: DecoupledDistillation, material: Material, steps: int, rate: float) -> None:
        parts = [model.trunk, model.decouple, model.normality, model.abnormality]
        share, schedule = (1.0, constant) if model.reverse else (FORWARD_SHARE, cosine)
        super().__init__(material, steps, rate * share, parts, schedule)
        self._model = model

    @override
    def begin(self) -> None:
        self._features = self.material.features(self._model.teacher, "features")

    @override
    def batches(self, first: int) -> Generator[Defects, None, None]:
        # A pair is two images, so a step of the usual size has half as many pairs.
        return self.material.defects(range(first, self.steps), batch=max(2, self.material.batch // 2))

    @override
    def loss(self, batch: Defects) -> Tensor:
        good = self.material.images(batch.index)
        return self._model.student_loss(good, batch.images, batch.masks, self._features.batch(batch.index))


class Segmentation(Phase):
    """DMDD, phase B: the head learns to find defects in maps of the frozen student; half the pictures are good."""

    name = "segmentation"
    weight_decay = 1e-4
    _good: FrozenFeatures

    def __init__(self, model: DecoupledDistillation, material: Material, steps: int, rate: float) -> None:
        super().__init__(material, steps, rate * HEAD_SHARE, [model.head], constant)
        self._model = model

    @override
    def begin(self) -> None:
        self._good = self.material.features(lambda images: [self._model.distances(images)], "maps of good pictures")

    @override
    def batches(self, first: int) -> Generator[Defects, None, None]:
        # The student has not seen these defects.
        return self.material.defects(range(first, self.steps), from_pass=SEGMENTATION_PASSES)

    @override
    def loss(self, batch: Defects) -> Tensor:
        with torch.no_grad():
            distances = torch.cat([*self._good.batch(batch.index), self._model.distances(batch.images)])
        masks = torch.cat([torch.zeros_like(batch.masks), batch.masks])
        return self._model.head_loss(distances, masks)


def phases(model: DecoupledDistillation, material: Material, steps: int, rate: float) -> list[Phase]:
    """Return DMDD's two phases; `steps` is the length of the first."""
    last = Segmentation(model, material, max(1, round(steps * LAST_SHARE)), rate)
    return [Decoupling(model, material, steps, rate), last]


def choose_map(
    model: DecoupledDistillation, material: Material, unseen: Unseen, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Set the map to ship: the requested one, or the best on synthetic flaws. Return the findings."""
    if options["map"] == CHOSEN:
        return {"mixture": choose_mixture(model, unseen(), material.arithmetic.device)}
    weights = MAPS[options["map"]]
    model.mixture.copy_(torch.tensor(weights))
    return {"mixture": {"weights": list(weights)}}


# Structural defects, and colours changed half the time, are ours (docs/methods.md, "Synthetic defects").
SYSTEM = System(
    DecoupledDistillation,
    "learns from synthetic defects too",
    phases,
    options=(
        STUDENT_WIDTH,
        choice("trunk", TRUNKS, "the student's trunk: reverse (default) or forward, see models/dmdd.py"),
        choice(
            "map",
            (CHOSEN, *MAPS),
            "map to ship: head, distances (of the normality branch), or chosen (default): the distances, unless the "
            "head or a mixture is better on synthetic flaws",
            builds=False,
        ),
    ),
    steps=500,  # each step takes three times as long as one of RD4AD
    synthesis={"self_texture": 0.25, "jitter": 0.5},
    finish=choose_map,
    chooses=("mixture",),
)
