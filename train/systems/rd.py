"""RD4AD: one phase, on good pictures alone."""

from __future__ import annotations

from edge_inspect.models.rd import ReverseDistillation
from edge_inspect.train.material import Material
from edge_inspect.train.phase import Distillation, Phase, constant
from edge_inspect.train.systems.system import STUDENT_WIDTH, System


def phases(model: ReverseDistillation, material: Material, steps: int, rate: float) -> list[Phase]:
    """Return RD4AD's one phase."""
    return [Distillation(model, material, steps, rate, constant)]


SYSTEM = System(ReverseDistillation, "cheapest to train", phases, options=(STUDENT_WIDTH,))
