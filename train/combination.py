"""A student and a memory: in which units their maps are added, and whether the memory is worth it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.discrepancy import EPSILON, gaussian_blur, upsample
from models.memory import Remembering
from train.flaws import Flaws
from train.material import normalise
from train.metrics import aupro, auroc
from train.validation import DRAWS, on_defects

SEED = 0x3E3
"""Of the flaws; none that a validation uses."""

MOST_PICTURES = 40


@torch.inference_mode()
def balance(model: Remembering, pictures: NDArray[np.uint8], unseen: bool, device: torch.device) -> None:
    """Set by what a student's map and its memory's are multiplied: one by the spread of each on good pictures.

    Args:
        model: Its student trained and its memory filled.
        pictures: Good ones, fitted, (N, H, W, 3) uint8 BGR.
        unseen: Whether the model has not learned from them. Of pictures that a memory knows its distances are too
            small; its spread is then taken to be that of its two banks, each of which has a spread of 1.
        device: Where the model is.
    """
    few = pictures[:MOST_PICTURES]
    given = [model.maps(normalise(few[i : i + 1]).to(device)) for i in range(len(few))]
    own, remembered = (torch.cat(maps) for maps in zip(*given, strict=True))
    spreads = torch.stack([own.std(), remembered.std() if unseen else own.new_tensor(2.0)])
    model.weights.copy_(1 / spreads.clamp(min=EPSILON))


def worth(model: Remembering, pictures: NDArray[np.uint8], device: torch.device) -> dict[str, Any]:
    """Return what the student alone and both together are worth on flaws (`train.flaws`).

    The measure is the mean of image AUROC and AUPRO, as of DMDD's mixtures. On parts that lie at any angle a memory can
    cost more than it finds.

    Args:
        model: Balanced, in evaluation mode.
        pictures: Good ones it has not learned from, (N, H, W, 3) uint8 BGR; the first 40 are used.
        device: Where the model is.
    """
    good = pictures[:MOST_PICTURES]

    def maps(images: torch.Tensor) -> torch.Tensor:
        own, remembered = model.maps(images.to(device))
        student = own * model.weights[0]
        return torch.cat([student, student + remembered * model.weights[1]], 1)

    given, marks = on_defects(maps, good, Flaws(good, seed=SEED), DRAWS)
    defective = marks.any(axis=(1, 2))
    found = {}
    for channel, name in enumerate(("student", "both")):
        smooth = gaussian_blur(upsample(given[:, channel : channel + 1], good.shape[1:3]))[:, 0].numpy()
        found[name] = round((auroc(smooth.max(axis=(1, 2)), defective) + aupro(smooth, marks)) / 2, 4)
    return found
