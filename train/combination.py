"""A student and a memory: in which units their maps are added, and whether the memory is worth it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from models.discrepancy import EPSILON
from models.memory import Remembering
from train.bootstrap import gain
from train.flaws import Flaws
from train.material import normalise
from train.validation import DRAWS, MOST_PICTURES, on_defects, worth

SEED = 0x3E3
"""Of the flaws; none that a validation uses."""


@torch.inference_mode()
def balance(model: Remembering, pictures: NDArray[np.uint8], unseen: bool, device: torch.device) -> None:
    """Set the weights of a student's map and its memory's: one by the spread of each on good pictures.

    Args:
        model: Its student trained and its memory filled.
        pictures: Good ones, fitted, (N, H, W, 3) uint8 BGR.
        unseen: Whether the model has not learned from them. Of pictures that a memory knows its distances are too
            small; its spread is then taken to be that of its two banks, each of which has a spread of 1.
        device: Where the model is.
    """
    few = pictures[:MOST_PICTURES]
    given = [_maps(model, normalise(few[i : i + 1]).to(device)) for i in range(len(few))]
    own, remembered = (torch.cat(maps) for maps in zip(*given, strict=True))
    spreads = torch.stack([own.std(), remembered.std() if unseen else own.new_tensor(2.0)])
    model.weights.copy_(1 / spreads.clamp(min=EPSILON))


def compare(model: Remembering, pictures: NDArray[np.uint8], device: torch.device) -> dict[str, float]:
    """Return what `student` and `both` are worth on flaws (`train.validation.worth`), and the difference's error.

    On parts that lie at any angle a memory can cost more than it finds.

    Args:
        model: Balanced, in evaluation mode.
        pictures: Good ones it has not learned from, (N, H, W, 3) uint8 BGR; the first 40 are used.
        device: Where the model is.
    """
    good = pictures[:MOST_PICTURES]

    def weighed(images: torch.Tensor) -> torch.Tensor:
        own, remembered = _maps(model, images.to(device))
        student = own * model.weights[0]
        return torch.cat([student, student + remembered * model.weights[1]], 1)

    given, marks = on_defects(weighed, good, Flaws(good, seed=SEED), DRAWS)
    student, both = given[:, :1], given[:, 1:]
    better = gain(both, student, marks)
    alone = worth(student, marks)
    return {"student": alone, "both": alone + better.difference, "standard_error": better.error}


def _maps(model: Remembering, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return model.maps(images, model.teacher(images))
