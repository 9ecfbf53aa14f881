"""Which of DMDD's maps is shipped: the head's, the distances it was made of, or both; told by synthetic defects."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.dmdd import DecoupledDistillation
from train.flaws import Flaws
from train.validation import DRAWS, MOST_PICTURES, on_defects, worth

CHOSEN = "chosen"
MAPS = {"head": (1.0, 0.0, 0.0), "distances": (0.0, 1.0, 0.0)}
"""Maps that may be asked for instead: weights of the logits, the normality and the abnormality distances."""

SEED = 0x317

CANDIDATES = (
    (1.0, 0.0, 0.0), (1.0, 0.5, 0.0), (1.0, 1.0, 0.0), (1.0, 2.0, 0.0),
    (1.0, 1.0, 1.0), (0.0, 1.0, 0.0), (0.0, 1.0, 0.5), (0.0, 1.0, 1.0),
)  # fmt: skip
"""As in `MAPS`, each in units of its spread on good pictures."""


def choose_mixture(model: DecoupledDistillation, pictures: NDArray[np.uint8], device: torch.device) -> dict[str, Any]:
    """Sets `model.mixture` to the candidate with the best mean of image AUROC and AUPRO on flaws (`train.flaws`).

    A head that learned from synthetic texture alone trusts it too much; distances to what is normal do not. So it is
    told by defects of other kinds; the seed is none that a validation uses.

    Args:
        model: Trained, in evaluation mode.
        pictures: Good ones it has not learned from, (N, H, W, 3) uint8 BGR; the first 40 are used.
        device: Where the model is.

    Returns:
        For the checkpoint: the weights chosen, and what each candidate was worth.
    """
    good = pictures[:MOST_PICTURES]
    flaws = Flaws(good, seed=SEED)
    every, marks = on_defects(lambda images: model.parts(images.to(device)), good, flaws, DRAWS)
    spread = every[:: 1 + DRAWS].std(dim=(0, 2, 3)).clamp(min=1e-6)
    found = {}
    for weights in CANDIDATES:
        mixed = (every * (torch.tensor(weights) / spread)[:, None, None]).sum(1, keepdim=True)
        found[weights] = worth(mixed, marks)
    best = max(found, key=lambda weights: found[weights])
    model.mixture.copy_(torch.tensor(best) / spread)
    return {"weights": list(best), "worth": {str(list(k)): round(v, 4) for k, v in found.items()}}
