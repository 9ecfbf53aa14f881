from __future__ import annotations

from typing import Any

from models.aand import AmplifiedDistillation
from models.dmdd import DecoupledDistillation
from models.rd import ReverseDistillation
from models.teacher import Teacher

System = ReverseDistillation | AmplifiedDistillation | DecoupledDistillation
"""Any of them."""

MODELS: dict[str, type[System]] = {
    model.name: model for model in (ReverseDistillation, AmplifiedDistillation, DecoupledDistillation)
}
"""The systems by the names the command line, the checkpoint and the bundle use."""


def build(name: str, teacher: Teacher, options: dict[str, Any] | None = None) -> System:
    """Builds the system `name` on a teacher; `options` are those of its class.

    Raises:
        ValueError: There is no such system, or no such option; the message names those that exist.
    """
    if name not in MODELS:
        raise ValueError(f"model {name!r} is unknown; there are {', '.join(MODELS)}")
    return MODELS[name](teacher, **options or {})
