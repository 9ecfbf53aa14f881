"""Memory: prototypes of good parts' features, and nothing beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.memory import Memory
from train.material import Material
from train.memory import fill
from train.phase import Phase
from train.systems.system import System, Unseen


def no_phases(model: Memory, material: Material, steps: int, rate: float) -> list[Phase]:
    """Return no phase: nothing is trained."""
    return []


def fill_banks(model: Memory, material: Material, unseen: Unseen, options: Mapping[str, Any]) -> dict[str, Any]:
    """Fill the memory; the checkpoint has nothing to say of it."""
    fill(model.banks, model.teacher, material)
    return {}


SYSTEM = System(
    Memory,
    "nothing is trained: ready in seconds, from 10 pictures on",
    no_phases,
    steps=0,
    finish=fill_banks,
    own_memory=True,
)
