"""Which layers INT8 harms, and which of them to leave float so that the budget holds.

A layer is a convolution with its input and weights, or a residual addition. Each is quantized alone, in the float32
network, and ranked by what that does to scores and maps. From the other side, one layer left float in the INT8 network,
a layer's gain drowns in the errors of all others. Measured on AAND (ResNet-18 teacher, MVTec AD transistor): the noise
of scores and maps, 0.089 with all layers in INT8, falls to 0.042, 0.037, 0.025 with the worst 4, 8, 16 of the first
ranking left float, and is 0.091, 0.086, 0.087 with those of the second.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from calibrate.damage import Budget
from calibrate.trials import Recipe, Trial, Workbench
from train.progress import tracked

COUNT = 12
"""Pictures that one layer is tried on."""


@dataclass(frozen=True)
class Layer:
    """A layer and what quantizing it alone does.

    Attributes:
        name: Its node.
        title: Its name for a person.
        trial: The network with this layer alone in INT8.
    """

    name: str
    title: str
    trial: Trial

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return {"layer": self.title, **self.trial.damage.as_dict()}


def rank_layers(workbench: Workbench, recipe: Recipe) -> list[Layer]:
    """The layers a recipe makes INT8, the most harmful first."""
    every = workbench.layers(recipe.plan)
    ranking = []
    for name, title in tracked(list(every.items()), len(every), "sensitivity", "layers"):
        alone = dataclasses.replace(recipe, released=frozenset(every) - {name})
        ranking.append(Layer(name, title, workbench.trial(alone, COUNT)))
    return sorted(ranking, key=lambda layer: -layer.trial.damage.size)


def release(workbench: Workbench, recipe: Recipe, ranking: Sequence[Layer], budget: Budget) -> Trial | None:
    """Leaves the most harmful layers float, about as few as will do; `None` where no number of them will.

    By bisection, as if each further one left float helped; what is returned was measured to hold.
    """
    fails, holds, found = 0, len(ranking), None
    while holds - fails > 1:
        middle = (fails + holds) // 2
        names = frozenset(layer.name for layer in ranking[:middle])
        trial = workbench.trial(dataclasses.replace(recipe, released=names))
        if budget.broken(trial.damage):
            fails = middle
        else:
            holds, found = middle, trial
    return found
