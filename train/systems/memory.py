"""Memory: prototypes of good parts' features, and nothing beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.memory import Memory
from train.material import Material
from train.memory import cross_fit, fill
from train.phase import Phase
from train.systems.system import System, Unseen


def no_phases(model: Memory, material: Material, steps: int, rate: float) -> list[Phase]:
    """Return no phase: nothing is trained."""
    return []


def fill_banks(model: Memory, material: Material, unseen: Unseen, options: Mapping[str, Any]) -> dict[str, Any]:
    """Fill the memory; return the cross-fitted scores of the pictures, where they are not too few for that."""
    if material.crossfit is None:
        fill(model.banks, model.teacher, material)
        return {}
    return {"scores": cross_fit(model, material, material.crossfit)}


SYSTEM = System(
    Memory,
    "nothing is trained: ready in seconds, from 10 pictures on",
    no_phases,
    steps=0,
    finish=fill_banks,
    hold_out=0.1,
    own_memory=True,
)
