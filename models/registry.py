from __future__ import annotations

from models.rd import ReverseDistillation
from models.teacher import Teacher

MODELS = {model.name: model for model in (ReverseDistillation,)}
"""The systems by the names the command line, the checkpoint and the bundle use."""


def build(name: str, teacher: Teacher) -> ReverseDistillation:
    """Builds the system `name` on a teacher.

    Raises:
        ValueError: There is no such system; the message names those that exist.
    """
    if name not in MODELS:
        raise ValueError(f"model {name!r} is unknown; there are {', '.join(MODELS)}")
    return MODELS[name](teacher)
