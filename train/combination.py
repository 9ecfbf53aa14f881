"""A student and a memory: in which units their maps are added, and whether the memory is worth it."""

from __future__ import annotations

import torch

from models.discrepancy import EPSILON
from models.memory import Remembering
from train.bootstrap import gain
from train.material import normalise
from train.validation import TrialPictures, shown_at

SEED = 0x3E3
"""Of the flaws; none that a validation uses."""


@torch.inference_mode()
def balance(model: Remembering, trial: TrialPictures, device: torch.device) -> None:
    """Set the weights of a student's map and its memory's: one by the spread of each on good pictures.

    Args:
        model: Its student trained and its memory filled.
        trial: Good pictures. Of those that a memory knows its distances are too small; its spread is then taken to be
            that of its two banks, each of which has a spread of 1.
        device: Where the model is.
    """
    few = trial.pictures
    given = [_maps(model, normalise(few[i : i + 1]).to(device)) for i in range(len(few))]
    own, remembered = (torch.cat(maps)[:, 0] for maps in zip(*given, strict=True))
    seen = shown_at(trial.valid, (own.shape[1], own.shape[2])).to(device)
    spreads = torch.stack([own[seen].std(), own.new_tensor(2.0) if trial.learned else remembered[seen].std()])
    model.weights.copy_(1 / spreads.clamp(min=EPSILON))


def compare(model: Remembering, trial: TrialPictures, device: torch.device) -> dict[str, float]:
    """Return what `student` and `both` are worth on flaws (`train.validation.worth`), and the difference's error.

    On parts that lie at any angle a memory can cost more than it finds.

    Args:
        model: Balanced, in evaluation mode.
        trial: Good pictures that it has not learned from.
        device: Where the model is.
    """

    def weighed(images: torch.Tensor) -> torch.Tensor:
        own, remembered = _maps(model, images.to(device))
        student = own * model.weights[0]
        return torch.cat([student, student + remembered * model.weights[1]], 1)

    given, marks, valid = trial.judge(weighed, SEED)
    better = gain(given[:, 1:], given[:, :1], marks, valid)
    return {"student": better.other, "both": better.one, "standard_error": better.error}


def _maps(model: Remembering, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return model.maps(images, model.teacher(images))
