"""The choice of DMDD's map to ship: the distances, unless flaws show that the head or a mixture is better."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from edge_inspect.edge.program import say
from edge_inspect.models.dmdd import DecoupledDistillation
from edge_inspect.train.bootstrap import gain
from edge_inspect.train.validation import DRAWS, TrialPictures, shown_at, worth

CHOSEN = "chosen"
DISTANCES = (0.0, 1.0, 0.0)
MAPS = {"head": (1.0, 0.0, 0.0), "distances": DISTANCES}
"""Maps that can be requested: weights of the logits, of the normality and of the abnormality distances."""

SEED = 0x317

CANDIDATES = (
    (1.0, 0.0, 0.0), (1.0, 0.5, 0.0), (1.0, 1.0, 0.0), (1.0, 2.0, 0.0),
    (1.0, 1.0, 1.0), (0.0, 1.0, 0.0), (0.0, 1.0, 0.5), (0.0, 1.0, 1.0),
)  # fmt: skip
"""Weights as in `MAPS`; each map is first divided by its spread on good pictures."""


def choose_mixture(model: DecoupledDistillation, trial: TrialPictures, device: torch.device) -> dict[str, Any]:
    """Set `model.mixture` to the distances of the normality branch, or to a candidate that is surely better on flaws.

    A head that learned from synthetic texture alone trusts it too much; distances to normal features do not have this
    fault. So another candidate has to be better by more than one standard error (`train.bootstrap`) on defects of other
    kinds (`train.flaws`), drawn with a seed that no validation uses. On pictures that the model has learned from,
    nothing can be shown.

    Args:
        model: Trained network, in evaluation mode.
        trial: Good pictures.
        device: Device of the model.

    Returns:
        Entries for the checkpoint: the chosen weights, the worth of each candidate, and how much better the best one is
        than the distances, with the standard error.
    """
    every, marks, valid = trial.judge(lambda images: model.parts(images.to(device)), SEED)
    seen = shown_at(trial.valid, (every.shape[2], every.shape[3]))
    spread = every[:: 1 + DRAWS].transpose(0, 1)[:, seen].std(dim=1).clamp(min=1e-6)

    def mixed(weights: tuple[float, float, float]) -> Tensor:
        return (every * (torch.tensor(weights) / spread)[:, None, None]).sum(1, keepdim=True)

    found = {weights: worth(mixed(weights), marks, valid) for weights in CANDIDATES}
    best = max(found, key=lambda weights: found[weights])
    more = gain(mixed(best), mixed(DISTANCES), marks, valid)
    chosen = best if more.sure and not trial.learned else DISTANCES
    model.mixture.copy_(torch.tensor(chosen) / spread)
    say(f"map: {list(best)} is better than distances, {list(DISTANCES)}, by {more} on flaws; {list(chosen)} is shipped")
    worths = {str(list(weights)): round(value, 4) for weights, value in found.items()}
    return {"weights": list(chosen), "worth": worths, "gain": [round(more.difference, 4), round(more.error, 4)]}
