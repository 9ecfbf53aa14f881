"""A student and a memory: the units in which their maps are added, and whether the memory is worth keeping."""

from __future__ import annotations

from typing import Any

import torch

from edge_inspect.edge.program import say
from edge_inspect.models.discrepancy import EPSILON
from edge_inspect.models.memory import Remembering
from edge_inspect.train.bootstrap import gain
from edge_inspect.train.material import Material, normalise
from edge_inspect.train.memory import cross_fit, fill
from edge_inspect.train.usual import can_choose, choose_usual
from edge_inspect.train.validation import TrialPictures, Unseen, shown_at

SEED = 0x3E3
"""Random seed of the flaws; no validation uses the same."""


def remember(model: Remembering, material: Material, unseen: Unseen) -> dict[str, Any]:
    """Fill the memory beside a student and balance both; return what the checkpoint says about the memory.

    Flaws on unseen pictures decide whether the memory's map is judged relative to the usual value at each position, and
    whether the memory is kept. Without unseen pictures it is kept.

    Args:
        model: Network whose student is trained.
        material: Pictures that the student learned from.
        unseen: Other pictures.

    Returns:
        `kept`, whether the memory is kept; the result of `compare`; and the result for `usual`.
    """
    device, choice = material.arithmetic.device, _fill(model, material, unseen)
    trial = unseen()
    balance(model, trial, device)
    if trial.learned:
        return {"kept": True, **choice}
    found = compare(model, trial, device)
    kept = found["both"] - found["student"] > found["standard_error"]
    said = "it is kept" if kept else "it is left out"
    say(
        f"memory: on synthetic flaws, the mean of AUROC and AUPRO is {found['both']:.4f} with it and "
        f"{found['student']:.4f} without it, standard error of the difference {found['standard_error']:.4f}; {said}"
    )
    return {"kept": kept, **found, **choice}


def _fill(model: Remembering, material: Material, unseen: Unseen) -> dict[str, Any]:
    """Fill the memory; judge its map relative to usual values if flaws speak for that. Return the result on flaws."""
    crossfit, device = material.crossfit, material.arithmetic.device
    if crossfit is None or not can_choose(crossfit, unseen):
        fill(model.banks, model.teacher, material)
        return {}
    usual, choice = choose_usual(model, cross_fit(model, material, crossfit), unseen(), device)
    if usual is not None:
        model.usual = usual.to(device)
    return {"usual": choice}


@torch.inference_mode()
def balance(model: Remembering, trial: TrialPictures, device: torch.device) -> None:
    """Set the weights of a student's map and its memory's map: one over the spread of each on good pictures.

    Args:
        model: Network whose student is trained and whose memory is filled.
        trial: Good pictures. If the memory knows them, its distances are too small; its spread is then taken to be that
            of its two banks, each of which has a spread of 1.
        device: Device of the model.
    """
    few = trial.pictures
    given = [_maps(model, normalise(few[i : i + 1]).to(device)) for i in range(len(few))]
    own, remembered = (torch.cat(maps)[:, 0] for maps in zip(*given, strict=True))
    seen = shown_at(trial.valid, (own.shape[1], own.shape[2])).to(device)
    spreads = torch.stack([own[seen].std(), own.new_tensor(2.0) if trial.learned else remembered[seen].std()])
    model.weights.copy_(1 / spreads.clamp(min=EPSILON))


def compare(model: Remembering, trial: TrialPictures, device: torch.device) -> dict[str, float]:
    """Return the worth of `student` and `both` on flaws (`train.validation.worth`), and the difference's error.

    On parts that lie at any angle, a memory can do more harm than good.

    Args:
        model: Balanced network, in evaluation mode.
        trial: Good pictures that the network has not learned from.
        device: Device of the model.
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
