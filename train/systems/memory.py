"""Memory: prototypes of good parts' features, and nothing beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch

from edge.command import say
from models.memory import Memory, Usual
from train.crossfit import CrossFit
from train.material import Material
from train.memory import cross_fit, fill
from train.phase import Phase
from train.systems.system import System, Unseen
from train.usual import ENOUGH, JUDGES, by_others, learn_usual, worth_by_usual


def no_phases(model: Memory, material: Material, steps: int, rate: float) -> list[Phase]:
    """Return no phase: nothing is trained."""
    return []


def fill_banks(model: Memory, material: Material, unseen: Unseen, options: Mapping[str, Any]) -> dict[str, Any]:
    """Fill the memory; return the cross-fitted scores of the pictures, where they are not too few for that.

    Where flaws on unseen pictures show it to be surely better, the map is judged by what is usual at each position.
    """
    crossfit = material.crossfit
    if crossfit is None:
        fill(model.banks, model.teacher, material)
        return {}
    maps = cross_fit(model, material, crossfit)
    if not isinstance(model.usual, Usual) or not _can_choose(maps, crossfit, unseen):
        return {"scores": crossfit.scores(maps)}
    usual = learn_usual(maps)
    better = worth_by_usual(model, usual, unseen(), material.arithmetic.device)
    say(
        f"memory: on synthetic flaws the map is worth {better.one:.4f} where it is judged by what is usual at each "
        f"position, {better.other:.4f} as it is, standard error of the difference {better.error:.4f}; "
        f"{'the former' if better.sure else 'the latter'} is taken"
    )
    if better.sure:
        model.usual.load_state_dict(usual.state_dict())
        maps = by_others(maps, torch.tensor(crossfit.blocks))
    told = {"kept": better.sure, "with": better.one, "without": better.other, "standard_error": better.error}
    return {"scores": crossfit.scores(maps), "usual": told}


def _can_choose(maps: torch.Tensor, crossfit: CrossFit, unseen: Unseen) -> bool:
    """Whether there are pictures enough to learn what is usual, without any block too, and to judge it by."""
    if len(maps) < ENOUGH or max(Counter(crossfit.blocks).values()) > len(maps) - ENOUGH // 2:
        return False
    trial = unseen()
    return not trial.learned and len(trial.pictures) >= JUDGES


SYSTEM = System(
    Memory,
    "nothing is trained: ready in seconds, from 10 pictures on",
    no_phases,
    steps=0,
    finish=fill_banks,
    hold_out=0.1,
    own_memory=True,
)
