"""Which of DMDD's maps is shipped: the distances, unless flaws show that the head or a mixture is better."""

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
"""Maps that may be asked for instead: weights of the logits, the normality and the abnormality distances."""

SEED = 0x317

CANDIDATES = (
    (1.0, 0.0, 0.0), (1.0, 0.5, 0.0), (1.0, 1.0, 0.0), (1.0, 2.0, 0.0),
    (1.0, 1.0, 1.0), (0.0, 1.0, 0.0), (0.0, 1.0, 0.5), (0.0, 1.0, 1.0),
)  # fmt: skip
"""As in `MAPS`, each in units of its spread on good pictures."""


def choose_mixture(model: DecoupledDistillation, trial: TrialPictures, device: torch.device) -> dict[str, Any]:
    """Set `model.mixture` to the distances of the normality branch, or to a candidate that is surely better on flaws.

    A head that learned from synthetic texture alone trusts it too much, and distances to what is normal do not. So
    another candidate has to be worth more by over one standard error (`train.bootstrap`), on defects of other kinds
    (`train.flaws`); the seed is none that a validation uses. On pictures that the model has learned from nothing can be
    shown.

    Args:
        model: Trained, in evaluation mode.
        trial: Good pictures.
        device: Where the model is.

    Returns:
        For the checkpoint: the weights chosen, what each candidate was worth, and how much more than the distances the
        best of them, with its standard error.
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
    say(f"map: {list(best)} is worth {more} more on flaws than distances, {list(DISTANCES)}; {list(chosen)} is shipped")
    told = {str(list(weights)): round(value, 4) for weights, value in found.items()}
    return {"weights": list(chosen), "worth": told, "gain": [round(more.difference, 4), round(more.error, 4)]}
