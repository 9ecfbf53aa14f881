"""Which layers INT8 harms, and which of them to leave float so that the budget holds, within a given time.

A layer is a convolution with its input and weights, or a residual addition. Each is quantized alone, in the float32
network, and ranked by what that does to scores and maps. From the other side, one layer left float in the INT8 network,
a layer's gain drowns in the errors of all others. Measured on AAND (ResNet-18 teacher, MVTec AD transistor): the noise
of scores and maps, 0.089 with all layers in INT8, falls to 0.042, 0.037, 0.025 with the worst 4, 8, 16 of the first
ranking left float, and is 0.091, 0.086, 0.087 with those of the second.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from edge_inspect.calibrate.damage import Budget, Damage
from edge_inspect.calibrate.trials import Recipe, Trial, Workbench
from edge_inspect.train.progress import Progress

COUNT = 12
"""Pictures that one layer is tried on."""

AT_ONCE = 2
"""Layers that are tried at a time: to compile a network, most of a trial's time, takes one core."""

RANKING_SHARE = 0.5
"""Of the search time; the rest is for finding out how many layers must stay float."""


class SearchTime:
    """The time that a search may take, from now on.

    Args:
        seconds: How long; 0 allows nothing.
        clock: Seconds that only grow.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock, self._begun = clock, clock()

    def over(self, share: float = 1.0) -> bool:
        """Return whether that share of the time has passed."""
        return self._clock() - self._begun >= share * self.seconds


@dataclass(frozen=True)
class Layer:
    """A layer and what quantizing it alone does.

    Attributes:
        name: Its node.
        title: Its name for a person.
        damage: What the network loses with this layer alone in INT8.
    """

    name: str
    title: str
    damage: Damage

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return {"layer": self.title, **self.damage.as_dict()}


def rank_layers(workbench: Workbench, recipe: Recipe, allowed: SearchTime | None = None) -> list[Layer]:
    """Rank the layers that a recipe makes INT8, the most harmful first.

    Compared features and the layers next to the picture come first in time: they are the likely ones, so a ranking
    that runs out of time has met them.

    Args:
        workbench: Makes and measures the networks.
        recipe: How INT8 is made.
        allowed: Layers not tried when `RANKING_SHARE` of it has passed are left out; without it all are tried.
    """
    every = workbench.layers(recipe.plan)
    order = sorted(every, key=lambda name: not every[name].startswith("compared feature"))
    ranking: list[Layer] = []

    def try_alone(name: str) -> Layer | None:
        if allowed is not None and allowed.over(RANKING_SHARE):
            return None
        alone = dataclasses.replace(recipe, released=frozenset(every) - {name})
        return Layer(name, every[name], workbench.harm(alone, COUNT))

    pool = ThreadPoolExecutor(AT_ONCE, "ranking")
    try:
        with Progress(len(order), "INT8 sensitivity", "layers") as progress:
            for layer in pool.map(try_alone, order):
                if layer is None:
                    break
                ranking.append(layer)
                progress.step()
    finally:
        pool.shutdown(cancel_futures=True)
    return sorted(ranking, key=lambda layer: -layer.damage.size)


def release(
    workbench: Workbench, recipe: Recipe, ranking: Sequence[Layer], budget: Budget, allowed: SearchTime
) -> Trial | None:
    """Leave the most harmful layers float, about as few as will do; `None` where that does not help.

    Four and sixteen first, as few mostly do, then by bisection, as if each further one left float helped; what is
    returned was measured to hold. A network that is still beyond the budget and no faster than FP32 ends the search:
    more layers left float make it slower still.
    """
    fails, holds, found = 0, len(ranking), None
    steps = max(0, holds - 1).bit_length()
    with Progress(steps, "INT8 layers left float", "steps") as progress:
        while holds - fails > 1 and not allowed.over():
            middle = min((fails + holds) // 2, max(4, 4 * fails))
            names = frozenset(layer.name for layer in ranking[:middle])
            trial, exact_ms = workbench.beside_fp32(dataclasses.replace(recipe, released=names))
            progress.step()
            if not budget.broken(trial.damage):
                holds, found = middle, trial
            elif trial.latency_ms >= exact_ms:
                break
            else:
                fails = middle
    return found
