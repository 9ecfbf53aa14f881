"""`--model auto`: a memory alone, or also a student, depending on the product and on the time that the box has.

A memory is ready in seconds and fastest on the box, and on most products it finds most defects. It fails if good parts
differ much from each other, such as prints whose layout varies or parts that lie at any angle. So both are made, and
synthetic flaws on good pictures that neither has seen decide between them. A student costs more, so it must be better
by more than one standard error and by a margin. If time is limited, the student is as wide as the limit allows.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.program import say
from edge_inspect.models.memory import Remembering
from edge_inspect.models.network import Network
from edge_inspect.models.width import STUDENT_WIDTHS
from edge_inspect.train import checkpoint
from edge_inspect.train.bootstrap import Gain, gain
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.datasets import Category
from edge_inspect.train.device import open_arithmetic
from edge_inspect.train.doubtful import PAGE as DOUBTFUL
from edge_inspect.train.held_out import held_out_pictures
from edge_inspect.train.journal import PAGE as PROGRESS
from edge_inspect.train.pace import milliseconds
from edge_inspect.train.resume import writing
from edge_inspect.train.settings import STUDENT, TrainingSettings
from edge_inspect.train.systems import system_of
from edge_inspect.train.systems.system import STUDENT_WIDTH
from edge_inspect.train.validation import TrialPictures

MEMORY = "memory"
"""The system that is always made."""

ENOUGH = 50
"""Number of good pictures that a student needs: fewer do not teach it, and do not tell whether it is better."""

MARGIN = 0.05
"""How much better a student must be (`train.validation.worth`). A student costs minutes of training and more time for
each picture. On real parts, flaws put students ahead by up to 0.047 where in fact the memories found more of the
defects. On rendered parts that lie at any angle the difference was 0.085, and the student did find more
(docs/measurements.md)."""

ASKED = "auto.json"
SEED = 0xA07


@dataclass(frozen=True)
class Affordable:
    """The student that the time limit allows.

    Attributes:
        width: Width of the student; `None` if there is no time for any.
        beyond: Times of the students beyond the limit, in words; empty if there are none.
    """

    width: str | None
    beyond: str = ""


@dataclass(frozen=True)
class TrainedSystem:
    """A system that was made, and its folder."""

    folder: Path
    about: Checkpoint
    model: Network


IsWanted = Callable[[Checkpoint, Network], bool]
"""Whether a trained student will be used, and so is worth the time of cross-fitting."""
MakeOne = Callable[[TrainingSettings, IsWanted | None], Checkpoint]
"""Makes one system and writes its checkpoint."""


def fit_auto(settings: TrainingSettings, fit: MakeOne) -> Checkpoint:
    """Make a memory, and also a student if there are enough pictures and time; write the better one's checkpoint.

    Each has its own folder under `settings.out`, which is kept: `memory`, and `rd` (`rd-half` for a student of half
    width). If this is interrupted, the same settings resume it.

    Args:
        settings: Settings of the training; `budget_ms` limits the time of a picture on this box.
        fit: See `MakeOne`. It is told to cross-fit the student only if that is better.

    Raises:
        UsageError: `settings.out` belongs to another training.
    """
    _remember(settings)
    memory = _make(settings, MEMORY, fit, None, model=MEMORY, options={})
    count = len(memory.about.trained_on) + len(memory.about.held_out)
    chosen, why, found = memory, "", {}
    if count < ENOUGH:
        why = f"{count} good images are too few to train and judge a student; {ENOUGH} are needed"
    elif not memory.about.held_out:
        why = "no good images are held out to judge a student by (--hold-out)"
    elif (affordable := _affordable(settings, memory)).width is None:
        why = affordable.beyond
    else:
        name = STUDENT if affordable.width == STUDENT_WIDTH.default else f"{STUDENT}-{affordable.width}"
        asked: list[Gain] = []

        def is_better(about: Checkpoint, model: Network) -> bool:
            asked.append(gain(*_maps(settings, about, model, memory)))
            return _is_enough(asked[0])

        options = {STUDENT_WIDTH.name: affordable.width}
        student = _make(settings, name, fit, is_better, model=STUDENT, options=options)
        better = asked[0] if asked else gain(*_maps(settings, student.about, student.model, memory))
        chosen = student if _is_enough(better) else memory
        found = {"student_better_by": round(better.difference, 4), "standard_error": round(better.error, 4)}
        why = (
            f"on synthetic flaws, a student of {affordable.width} width is better by {better.difference:.4f} (standard "
            f"error {better.error:.4f}); a student is taken if it is better by more than that and more than {MARGIN:g}"
        )
        if affordable.beyond:
            why += f"; {affordable.beyond}"
    say(f"auto: {chosen.about.model} is taken: {why}")
    result = replace(chosen.about, training=chosen.about.training | {"auto": {"why": why, **found}})
    with writing(settings.out):
        for page in (chosen.folder / name for name in (PROGRESS, DOUBTFUL)):
            if page.is_file():
                shutil.copy(page, settings.out)
        checkpoint.save(settings.out, result, chosen.model)
    return result


def _remember(settings: TrainingSettings) -> None:
    """Write down the settings; refuse a folder that other settings were written to."""
    asked = json.loads(json.dumps(settings.decisive() | settings.options, default=str))
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
    other = [name for name in asked | before if before.get(name) != asked.get(name)]
    if other:
        raise UsageError(
            f"{path}: belongs to a training with another {', '.join(other)}; give another --out or remove the folder"
        )


def _is_enough(better: Gain) -> bool:
    return better.sure and better.difference > MARGIN


def _make(
    settings: TrainingSettings,
    name: str,
    fit: MakeOne,
    is_wanted: IsWanted | None,
    *,
    model: str,
    options: dict[str, str],
) -> TrainedSystem:
    out = settings.out / name
    if not (out / checkpoint.DESCRIPTION).exists():
        say(f"auto: {name}")
        fit(replace(settings, model=model, options=options, out=out, budget_ms=None), is_wanted)
    return TrainedSystem(out, *checkpoint.load(out))


def _affordable(settings: TrainingSettings, memory: TrainedSystem) -> Affordable:
    """Return the widest student within the time limit, or the one of the requested width if it is within the limit."""
    asked, budget = settings.options.get(STUDENT_WIDTH.name), settings.budget_ms
    widths = STUDENT_WIDTHS if asked is None else (asked,)
    if budget is None:
        return Affordable(widths[0])
    own = milliseconds(memory.model, settings.fit)
    say(f"auto: a picture takes {own:.1f} ms with the memory alone; --budget-ms allows {budget:g}")
    if own > budget:
        say(
            f"warning: --budget-ms {budget:g}: the memory alone takes {own:.1f} ms on this box; a smaller --memory, a "
            "smaller --size, or fewer tiles take less"
        )
    beyond: list[str] = []
    for width in widths:
        student = system_of(STUDENT).build(memory.model.teacher, {STUDENT_WIDTH.keyword: width})
        needed = milliseconds(Remembering(student, settings.memory), settings.fit)
        say(f"auto: a picture takes {needed:.1f} ms with a student of {width} width")
        if needed <= budget:
            break
        beyond.append(f"a student of {width} width would take {needed:.1f} ms a picture")
    said = f"{' and '.join(beyond)}, and --budget-ms allows {budget:g}" if beyond else ""
    return Affordable(width if len(beyond) < len(widths) else None, said)


def _maps(
    settings: TrainingSettings, about: Checkpoint, student: Network, memory: TrainedSystem
) -> tuple[Tensor, Tensor, NDArray[np.uint8], NDArray[np.bool_]]:
    """Return both maps of the same flaws on pictures that neither has seen, the flaws' masks, and the valid pixels."""
    seen = set(about.trained_on)
    unseen = replace(memory.about, held_out=[digest for digest in memory.about.held_out if digest not in seen])
    paths = held_out_pictures(unseen, Category.open(settings.data, settings.category))
    trial = TrialPictures.load(paths, settings.fit, settings.foreground)
    device = open_arithmetic(settings.device, settings.precision).device

    def map_by(network: Network) -> Callable[[Tensor], Tensor]:
        network = network.to(device).eval()

        def compute(images: Tensor) -> Tensor:
            images = images.to(device)
            return network.map_of(images, network.teacher(images))

        return compute

    of_student, masks, valid = trial.judge(map_by(student), SEED)
    of_memory, _, _ = trial.judge(map_by(memory.model), SEED)
    return of_student, of_memory, masks, valid
