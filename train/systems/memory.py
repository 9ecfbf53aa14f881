"""Memory: prototypes of good parts' features, and nothing beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from edge_inspect.models.memory import Memory, Usual
from edge_inspect.train.crossfit import MAPS
from edge_inspect.train.material import Material
from edge_inspect.train.memory import cross_fit, fill
from edge_inspect.train.phase import Phase
from edge_inspect.train.systems.system import System
from edge_inspect.train.usual import by_others, can_choose, choose_usual
from edge_inspect.train.validation import Unseen


def no_phases(model: Memory, material: Material, steps: int, rate: float) -> list[Phase]:
    """Return no phase: nothing is trained."""
    return []


def fill_banks(model: Memory, material: Material, unseen: Unseen, options: Mapping[str, Any]) -> dict[str, Any]:
    """Fill the memory; return the cross-fitted maps of the pictures if there are enough pictures for them.

    Each position of the map is judged relative to its usual value if flaws on unseen pictures show that this is surely
    better.
    """
    crossfit = material.crossfit
    if crossfit is None:
        fill(model.banks, model.teacher, material)
        return {}
    maps, choice = cross_fit(model, material, crossfit), {}
    if isinstance(model.usual, Usual) and can_choose(crossfit, unseen):
        usual, choice["usual"] = choose_usual(model, maps, unseen(), material.arithmetic.device)
        if usual is not None:
            model.usual.load_state_dict(usual.state_dict())
            maps = by_others(maps, torch.tensor(crossfit.blocks))
    return {MAPS: maps, **choice}


SYSTEM = System(
    Memory,
    "nothing is trained: ready in seconds, from 10 pictures on",
    no_phases,
    steps=0,
    finish=fill_banks,
    hold_out=0.1,
    own_memory=True,
)
