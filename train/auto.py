"""`--model auto`: a memory alone, or a student too, whichever this product needs and this box has the time for.

A memory is ready in seconds and cheapest on the box, and on most products it finds most. It fails where good parts
differ much from each other, as prints whose layout varies or parts that lie at any angle. So both are made, and what
they find of synthetic flaws on good pictures that neither has seen decides. The student is dearer, so it must be better
by more than one standard error and by a margin.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edge.command import say
from edge.errors import UsageError
from edge.files import write_atomically
from models.memory import Remembering
from models.network import Network
from train import checkpoint
from train.bootstrap import gain
from train.checkpoint import Checkpoint
from train.datasets import Category
from train.device import open_arithmetic
from train.pace import milliseconds
from train.resume import writing
from train.systems import system_of
from train.validation import TrialPictures, held_out_pictures

if TYPE_CHECKING:
    from train.training import Settings

AUTO = "auto"
MEMORY, STUDENT = "memory", "rd"
"""The systems that are made, each in a folder of that name."""

ENOUGH = 50
"""Good pictures from which on a student is trained: fewer neither teach it nor tell whether it is better."""

MARGIN = 0.05
"""By how much a student must be worth more (`train.validation.worth`). It costs minutes of training and more time a
picture, and a fifth of the pictures instead of nearly all set its threshold. On real parts flaws put students up to
0.047 ahead where the memories found more of the defects. On rendered parts that lie at any angle it was 0.085, and the
student did find more (docs/measurements.md)."""

ASKED = "auto.json"
SEED = 0xA07


@dataclass(frozen=True)
class Candidate:
    """A system that was made."""

    about: Checkpoint
    model: Network


def fit_auto(settings: Settings, fit: Callable[[Settings], Checkpoint]) -> Checkpoint:
    """Make a memory, and a student where there are pictures and time enough; write the better one's checkpoint.

    Each has a folder of its own under `settings.out` and stays there. Interrupted, the same settings go on.

    Args:
        settings: Those of the training; `budget_ms` bounds the time of a picture on this box.
        fit: Makes one system.

    Raises:
        UsageError: `settings.out` holds another training.
    """
    _remember(settings)
    memory = _make(settings, MEMORY, fit)
    count = len(memory.about.trained_on) + len(memory.about.held_out)
    chosen, why, found = memory, "", {}
    if count < ENOUGH:
        why = f"{count} good images are too few to train a student and to judge it by; {ENOUGH} are wanted"
    elif not memory.about.held_out:
        why = "no good images are held out to judge a student by (--hold-out)"
    elif reason := _too_slow(settings, memory):
        why = reason
    else:
        student = _make(settings, STUDENT, fit)
        better = gain(*_maps(settings, student, memory))
        enough = better.sure and better.difference > MARGIN
        chosen = student if enough else memory
        found = {"student_better_by": round(better.difference, 4), "standard_error": round(better.error, 4)}
        why = (
            f"on synthetic flaws a student is worth {better.difference:.4f} more, standard error {better.error:.4f}; "
            f"{'' if enough else 'not '}more than that and {MARGIN:g}"
        )
    say(f"auto: {chosen.about.model} is taken: {why}")
    result = replace(chosen.about, training=chosen.about.training | {"auto": {"why": why, **found}})
    with writing(settings.out):
        page = settings.out / chosen.about.model / "progress.html"
        if page.is_file():
            shutil.copy(page, settings.out)
        checkpoint.save(settings.out, result, chosen.model)
    return result


def _remember(settings: Settings) -> None:
    """Write what was asked for; refuse a folder in which something else was."""
    asked = json.loads(json.dumps(settings.decisive(), default=str))
    path = settings.out / ASKED
    with writing(settings.out):
        settings.out.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_atomically(path, json.dumps(asked, indent=2).encode())
            return
        try:
            before = json.loads(path.read_bytes())
        except ValueError:
            before = {}
    other = [name for name, value in asked.items() if before.get(name) != value]
    if other:
        raise UsageError(
            f"{path}: belongs to a training with another {', '.join(other)}; give another --out or remove the folder"
        )


def _make(settings: Settings, model: str, fit: Callable[[Settings], Checkpoint]) -> Candidate:
    out = settings.out / model
    if not (out / checkpoint.DESCRIPTION).exists():
        say(f"auto: {model}")
        fit(replace(settings, model=model, out=out, budget_ms=None))
    return Candidate(*checkpoint.load(out))


def _too_slow(settings: Settings, memory: Candidate) -> str:
    """Return why a student is beyond the budget of time; nothing where it is not, or there is no budget."""
    budget = settings.budget_ms
    if budget is None:
        return ""
    own = milliseconds(memory.model, settings.fit)
    if own > budget:
        say(
            f"warning: --budget-ms {budget:g}: the memory alone takes {own:.1f} ms on this box; a smaller --memory, a "
            "smaller --size, or fewer tiles take less"
        )
    network = Remembering(system_of(STUDENT).build(memory.model.teacher, {}), settings.memory)
    needed = milliseconds(network, settings.fit)
    say(f"auto: a picture takes {own:.1f} ms with the memory alone, {needed:.1f} with a student, of {budget:g} allowed")
    return (
        f"a student would take {needed:.1f} ms a picture, and --budget-ms allows {budget:g}" if needed > budget else ""
    )


def _maps(
    settings: Settings, student: Candidate, memory: Candidate
) -> tuple[Tensor, Tensor, NDArray[np.uint8], NDArray[np.bool_]]:
    """Return both maps of the same flaws on pictures that neither has seen, the flaws' masks, and what counts."""
    seen = set(student.about.trained_on)
    about = replace(memory.about, held_out=[digest for digest in memory.about.held_out if digest not in seen])
    paths = held_out_pictures(about, Category.open(settings.data, settings.category))
    trial = TrialPictures.load(paths, settings.fit, settings.foreground)
    device = open_arithmetic(settings.device, settings.precision).device

    def map_by(network: Network) -> Callable[[Tensor], Tensor]:
        network = network.to(device).eval()

        def compute(images: Tensor) -> Tensor:
            images = images.to(device)
            return network.map_of(images, network.teacher(images))

        return compute

    of_student, masks, valid = trial.judge(map_by(student.model), SEED)
    of_memory, _, _ = trial.judge(map_by(memory.model), SEED)
    return of_student, of_memory, masks, valid
