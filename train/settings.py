"""The settings of a training, as `edge-train fit` reads them."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.memory import PROTOTYPES
from edge_inspect.train.augmentation import Augmentation
from edge_inspect.train.phase import DECAY

AUTO = "auto"
"""The model that `train.auto` chooses."""

SAVE_SECONDS = 60.0

STUDENT = "rd"
"""The student that it may choose."""


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of `edge-train fit`; defaults are RD4AD's, except for length and decay (docs/methods.md).

    Attributes:
        data: Folder of categories.
        category: Product to train for.
        out: Folder of the checkpoint.
        model: Name of the system, or `auto`.
        options: Options of the system, by name (train/systems); those not given have their defaults.
        memory: Number of prototypes in each bank of the memory beside the student; 0 for no memory.
        teacher: Name of the teacher; by default the system's own choice.
        teacher_weights: Weight file of the teacher.
        fit: How frames are fitted to the network.
        steps: Steps of the longest phase, by default the system's own number; other phases have a fixed share of it.
        recipe: How the learning rate changes, one of `train.phase.RECIPES`.
        batch: Number of pictures in each step.
        learning_rate: Learning rate of Adam.
        seed: Random seed for training, sampling and synthetic defects.
        hold_out: Share of the good pictures to hold out if the data set holds out none; `None` takes the system's.
        cross_fit: Whether a student is cross-fitted if few pictures are held out (train/halves.py).
        group: Which pictures are held out together (train/groups.py); those that are nearly the same always are.
        textures: Folder of pictures that give synthetic defects their texture; by default textures are rendered.
        foreground: How the part, on which defects lie, is told from its background (train/foreground.py).
        augment: How variants of the good pictures differ from them.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 if the processor multiplies it in hardware.
        cache_gb: Memory for the teacher's features in gigabytes; if they need more, each step computes them anew.
        budget_ms: With the model `auto`: the most milliseconds that a picture may take on this box.
        save_seconds: Seconds between saves, from which an interrupted training resumes.
    """

    data: Path
    category: str
    out: Path
    model: str = STUDENT
    options: dict[str, str] = dataclasses.field(default_factory=dict)
    memory: int = PROTOTYPES
    teacher: str | None = None
    teacher_weights: Path | None = None
    fit: Fit = dataclasses.field(default_factory=Fit)
    steps: int | None = None
    recipe: str = DECAY
    batch: int = 16
    learning_rate: float = 0.005
    seed: int = 0
    hold_out: float | None = None
    cross_fit: bool = True
    group: str | None = None
    textures: Path | None = None
    foreground: str = "auto"
    augment: Augmentation = Augmentation()
    device: str = "auto"
    precision: str = "auto"
    cache_gb: float = 4.0
    budget_ms: float | None = None
    save_seconds: float = SAVE_SECONDS

    def decisive(self) -> dict[str, Any]:
        """Return the settings that decide the result, except the pictures, the teacher's weights and `options`."""
        fields = dataclasses.asdict(self)
        for left_out in ("out", "data", "device", "cache_gb", "teacher_weights", "textures", "options", "save_seconds"):
            fields.pop(left_out)
        fields["fit"] = self.fit.as_dict()
        if (alignment := self.fit.alignment) is not None:
            fields["alignment"] = alignment.as_dict() | {"picture": hashlib.sha256(alignment.png()).hexdigest()}
        return fields
