"""The layers that INT8 harms, and those of them to leave in float so that the budget holds, within a given time.

A layer is a convolution with its input and weights, or a residual addition. Each layer is quantized alone in the
float32 network, and ranked by how that changes scores and maps. The other way round, with one layer left in float in
the INT8 network, a layer's gain drowns in the errors of all others. Measured on AAND (ResNet-18 teacher, MVTec AD
transistor), the noise of scores and maps is 0.089 with all layers in INT8. With the worst 4, 8 and 16 layers left in
float it falls to 0.042, 0.037 and 0.025 by the first ranking; by the second it stays at 0.091, 0.086 and 0.087.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from edge_inspect.calibrate.int8.trials import Int8Recipe, Trial, Workbench
from edge_inspect.calibrate.precisions.damage import Budget, Damage
from edge_inspect.train.progress import Progress

COUNT = 12
"""Number of pictures that each layer is tried on."""

AT_ONCE = 2
"""Number of layers that are tried at the same time. Compiling takes most of a trial's time and uses one core."""

RANKING_SHARE = 0.5
"""Share of the search time for the ranking; the rest is for finding out how many layers must stay in float."""


class SearchTime:
    """The time that a search may take, counted from when this is made.

    Args:
        seconds: How long the search may take; 0 allows nothing.
        clock: Returns seconds that only increase.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock, self._begun = clock, clock()

    def over(self, share: float = 1.0) -> bool:
        """Return whether that share of the time has passed."""
        return self._clock() - self._begun >= share * self.seconds


@dataclass(frozen=True)
class Layer:
    """A layer, and what quantizing it alone does.

    Attributes:
        name: Name of its node.
        title: Its name for a person.
        damage: Loss of the network with only this layer in INT8.
    """

    name: str
    title: str
    damage: Damage

    def as_dict(self) -> dict[str, Any]:
        """Return the entry for the report."""
        return {"layer": self.title, **self.damage.as_dict()}


def rank_layers(workbench: Workbench, recipe: Int8Recipe, allowed: SearchTime | None = None) -> list[Layer]:
    """Rank the layers that a recipe makes INT8, the most harmful first.

    Compared features and the layers next to the picture are tried first. They are the most likely ones, so a ranking
    that runs out of time has covered them.

    Args:
        workbench: Makes and measures the networks.
        recipe: How INT8 is made.
        allowed: Time of the search. Layers not tried when `RANKING_SHARE` of it has passed are left out; without a
            limit, all layers are tried.
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
    workbench: Workbench,
    recipe: Int8Recipe,
    ranking: Sequence[Layer],
    budget: Budget,
    allowed: SearchTime,
    *,
    timed: bool = True,
) -> Trial | None:
    """Leave the most harmful layers in float, about as few as will do; return `None` if that does not help.

    First 4 and 16 layers are tried, because few mostly suffice; then the number is bisected, as if each further layer
    left in float always helped. The returned network was measured to keep the budget. The search ends at a network that
    is still beyond the budget and no faster than FP32: more layers in float would make it slower still. Unless times
    count (`timed`), it goes on.
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
            elif timed and trial.latency_ms >= exact_ms:
                break
            else:
                fails = middle
    return found
