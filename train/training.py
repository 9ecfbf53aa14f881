"""A training: from good pictures of one category to a checkpoint."""

from __future__ import annotations

import dataclasses
import functools
import platform
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from edge_inspect.edge.errors import DataSetError, UsageError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.memory import peak_mb
from edge_inspect.edge.program import say
from edge_inspect.edge.text import clean
from edge_inspect.models.memory import Remembering, Usual, map_size
from edge_inspect.models.network import Network
from edge_inspect.train import checkpoint
from edge_inspect.train.auto import IsWanted, fit_auto
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.combination import remember
from edge_inspect.train.crossfit import BLOCKS, FEWEST, MAPS, CrossFit
from edge_inspect.train.datasets import Category, GoodImages, load_fitted
from edge_inspect.train.device import open_arithmetic
from edge_inspect.train.doubtful import Judged, show_doubtful
from edge_inspect.train.examples import Examples
from edge_inspect.train.foreground import POLICIES
from edge_inspect.train.groups import Groups, find_groups
from edge_inspect.train.halves import ENOUGH_HELD, FEWEST_TO_HALVE, FOLDER, HALVES, cross_fit_student
from edge_inspect.train.journal import History, Journal
from edge_inspect.train.loop import run_phases
from edge_inspect.train.material import Material, normalise
from edge_inspect.train.phase import RECIPES, Phase
from edge_inspect.train.resume import RESUME, ResumeState, writing
from edge_inspect.train.settings import AUTO, STUDENT, TrainingSettings
from edge_inspect.train.synthesis import Synthesis
from edge_inspect.train.systems import SYSTEMS, system_of
from edge_inspect.train.systems.system import System
from edge_inspect.train.teachers import open_teacher, weights_digest
from edge_inspect.train.validation import TrialPictures

ENOUGH = 50
"""Good images from which on training is useful; a model of fewer rejects good parts that look a little different."""


def fit(settings: TrainingSettings, is_wanted: IsWanted | None = None) -> Checkpoint:
    """Train, and write the checkpoint of the last step.

    If a training was interrupted, a call with the same settings resumes it from the last save, with the same result.

    Args:
        settings: The settings.
        is_wanted: See `IsWanted`; by default it is.

    Raises:
        UsageError: A setting cannot be used here, or `out` holds another training or cannot be written.
        DataSetError: The pictures are missing.
        CheckpointError: The teacher's weights are missing.
    """
    check_settings(settings)
    if settings.model == AUTO:
        return fit_auto(settings, fit)
    system = system_of(settings.model)
    options = system.complete(settings.options)
    steps = system.steps if settings.steps is None else settings.steps
    arithmetic = open_arithmetic(settings.device, settings.precision)
    category = Category.open(settings.data, settings.category)
    own = category.held_out_images()
    good = GoodImages([*category.train_images(), *own], settings.fit)
    if str(good.copies):
        say(str(good.copies))
    if good.lost:
        every = len(good.lost) + len(good.paths)
        say(f"the part was not found in {len(good.lost)} of {every} good images, such as {clean(good.lost[0])}")
    groups = find_groups(good.paths, good.fitted, settings.group)
    if str(groups):
        say(str(groups))
    learn_from, held = _split(good.paths, own, groups, settings)
    if len(learn_from) < 2:
        raise DataSetError(
            f"{category.root}: has {len(learn_from)} good images to learn from, of {len(good.paths)} in all; "
            f"training needs at least 2, and {ENOUGH} or more to be useful: add some"
            + (", or lower --hold-out" if len(good.paths) > len(learn_from) else "")
        )
    if len(learn_from) < ENOUGH:
        say(
            f"warning: there are only {len(learn_from)} good images to learn from, and {len(held)} held out; "
            f"{ENOUGH} or more are needed to learn how good parts differ"
        )
    torch.manual_seed(settings.seed)
    name = settings.teacher or system.teacher
    teacher = open_teacher(name, settings.teacher_weights)
    teacher_digest = weights_digest(teacher)
    building = system.building(options)
    if system.own_memory:
        building["prototypes"] = settings.memory
        if settings.fit.grid.count == 1:  # with several tiles, a position shows another place in each
            building["grid"] = list(map_size(settings.fit.height, settings.fit.width))
    model = system.build(teacher, building).to(arithmetic.device).to(memory_format=torch.channels_last)
    crossfit = _cross_fit(good, groups, learn_from, settings.fit)
    pictures = good.only(learn_from)
    synthesis = None
    if system.synthesis is not None:
        seed, textures, foreground = settings.seed, settings.textures, settings.foreground
        synthesis = Synthesis(
            pictures,
            seed=seed,
            textures=textures,
            foreground=foreground,
            counts=_counting(settings.fit, len(pictures)),
            **system.synthesis,
        )
    material = Material(
        pictures,
        synthesis,
        arithmetic,
        settings.batch,
        settings.seed,
        settings.cache_gb,
        crossfit,
        augmentation=settings.augment,
        shown=[good.shown[path] for path in learn_from] if settings.fit.grid.count == 1 else None,
        fit=settings.fit,
    )
    phases = system.phases(model, material, steps, settings.learning_rate)
    with writing(settings.out):
        settings.out.mkdir(parents=True, exist_ok=True)
    about = Checkpoint(
        model=settings.model,
        teacher=name,
        teacher_sha256=teacher_digest,
        category=clean(category.root.resolve().name),
        fit=settings.fit,
        steps=steps if phases else 0,
        seed=settings.seed,
        trained_on=[good.digests[path] for path in learn_from],
        held_out=[good.digests[path] for path in held],
        options=building,
        memory=0 if system.own_memory else settings.memory,
        foreground=settings.foreground,
        training={
            "batch": settings.batch,
            "learning_rate": settings.learning_rate,
            "recipe": settings.recipe,
            "augment": str(settings.augment),
            "cross_fit": settings.cross_fit,
            "device": arithmetic.device.type,
            "precision": "bfloat16" if arithmetic.reduced else "float32",
        },
    )
    state = ResumeState(
        settings.out,
        f"{settings.model} {about.category}",
        settings.decisive()
        | options
        | {"steps": steps, "pictures": about.trained_on, "teacher weights": teacher_digest},
    )
    examples = Examples(held or learn_from, settings.fit, settings.foreground)
    journal = Journal(settings.out, about, phases, examples)
    history = run_phases(model, phases, settings.recipe, state, journal, settings.save_seconds)
    started = time.perf_counter()
    unseen = functools.cache(
        lambda: TrialPictures.load(held or learn_from, settings.fit, settings.foreground, learned=not held)
    )
    found = system.finish(model, material, unseen, options)
    judged, maps = crossfit, found.pop(MAPS, None)
    if about.memory:
        both = Remembering(model, about.memory).to(arithmetic.device).eval()
        found["memory"] = remember(both, material, unseen)
        if found["memory"]["kept"]:
            model, about = both, dataclasses.replace(about, usual=isinstance(both.usual, Usual))
        else:
            about = dataclasses.replace(about, memory=0)
    halves = None
    if phases and settings.cross_fit and len(held) < ENOUGH_HELD:
        halves = _cross_fit(good, groups, learn_from, settings.fit, HALVES, FEWEST_TO_HALVE)
    wanted = halves is None or is_wanted is None or is_wanted(about, model)
    if halves is not None and wanted:
        course = _Course(settings, system, building, steps, about, examples, state)
        judged, maps = halves, cross_fit_student(model, material, halves, functools.partial(course.train_half, model))
    unlike = []
    if judged is not None and maps is not None:
        unlike.append(Judged.of(judged, maps, learn_from))
        found |= judged.entries(unlike[0].scores, maps)
    if wanted:
        if held:
            unlike.append(_judge_held(model.eval(), good, held, settings.fit, arithmetic.device))
        show_doubtful(settings.out, about, unlike)
    measured = {
        "seconds": round(history.seconds + time.perf_counter() - started, 1),
        "seconds_waited_for_data": round(history.waited, 2),
        "peak_mb": peak_mb(),
        "loss": {phase.name: _losses(phase, history) for phase in phases},
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
    }
    result = dataclasses.replace(about, training=about.training | found | measured)
    with writing(settings.out):
        checkpoint.save(settings.out, result, model)
        (settings.out / RESUME).unlink(missing_ok=True)
    shutil.rmtree(settings.out / FOLDER, ignore_errors=True)
    if phases:
        journal.write(model, history, finished=True)
    return result


class _Course(NamedTuple):
    """A training whose student is finished, and which now trains students on the halves of its pictures."""

    settings: TrainingSettings
    system: System
    building: dict[str, Any]
    steps: int
    about: Checkpoint
    examples: Examples
    state: ResumeState

    def train_half(self, finished: Network, material: Material, half: int) -> Network:
        """Return a student like the finished one that learned from half of its pictures, in half of the steps.

        Args:
            finished: The student that is shipped, with or without a memory.
            material: The pictures.
            half: Number of the half that is left out.
        """
        settings, system, device = self.settings, self.system, material.arithmetic.device
        torch.manual_seed(settings.seed)
        teacher = open_teacher(self.about.teacher, settings.teacher_weights)
        student = system.build(teacher, self.building).to(device).to(memory_format=torch.channels_last)
        share = len(material.pictures) / len(self.about.trained_on) / settings.fit.grid.count
        phases = system.phases(student, material, max(1, round(self.steps * share)), settings.learning_rate)
        folder = settings.out / FOLDER / str(half + 1)
        with writing(settings.out):
            folder.mkdir(parents=True, exist_ok=True)
        journal = Journal(folder, self.about, phases, self.examples)
        state = self.state.of_half(folder, half + 1)
        run_phases(student, phases, settings.recipe, state, journal, settings.save_seconds)
        whole = finished.network if isinstance(finished, Remembering) else finished
        for name in system.chooses:
            getattr(student, name).copy_(getattr(whole, name))
        return student


def _split(
    good: list[Path], own: list[Path], groups: Groups, settings: TrainingSettings
) -> tuple[list[Path], list[Path]]:
    """Return the pictures to learn from, and those that are held out: the data set's own, or some of the others."""
    if not own:
        share = system_of(settings.model).hold_out if settings.hold_out is None else settings.hold_out
        learn_from, held = groups.hold_out(share, settings.seed)
        return [good[place] for place in learn_from], [good[place] for place in held]
    kept_aside = set(own)
    return [path for path in good if path not in kept_aside], [path for path in good if path in kept_aside]


def _cross_fit(
    good: GoodImages, groups: Groups, learn_from: list[Path], fit: Fit, count: int = BLOCKS, fewest: int = FEWEST
) -> CrossFit | None:
    """Return how the pictures to learn from are cross-fitted, in so many blocks; `None` if there are too few."""
    if len(learn_from) < fewest:
        return None
    places = {path: place for place, path in enumerate(good.paths)}
    groups = groups.only([places[path] for path in learn_from])
    of = {place: number for number, block in enumerate(groups.blocks(count)) for place in block}
    shown, blocks = [good.shown[path] for path in learn_from], [of[place] for place in range(len(learn_from))]
    return CrossFit(fit, shown, blocks, groups.distinct)


@torch.inference_mode()
def _judge_held(model: Network, good: GoodImages, held: list[Path], fit: Fit, device: torch.device) -> Judged:
    """Return the pictures that are held out with their maps by the model, which has not seen them."""
    pictures, shown = load_fitted(held, fit), [good.shown[path] for path in held]
    images = (normalise(pictures[i : i + 1]).to(device) for i in range(len(pictures)))
    maps = torch.cat([model.map_of(image, model.teacher(image)).float().cpu() for image in images])
    return Judged.of(CrossFit(fit, shown, blocks=[0] * len(held), distinct=[True] * len(held)), maps, held)


def _counting(fit: Fit, count: int) -> NDArray[np.bool_] | None:
    """Return which pixels of `count` tiles are looked at, (count, H, W); `None` if all are."""
    if fit.areas is None:
        return None
    tiles = np.stack([~fit.blind[place] for place in fit.grid.places()])
    return np.resize(tiles, (count, *tiles.shape[1:]))


def check_settings(settings: TrainingSettings) -> None:
    """Check the settings; pictures and weights are not looked at.

    Raises:
        UsageError: A setting cannot be used, or `out` holds a finished checkpoint or is a file.
    """
    if (settings.out / checkpoint.DESCRIPTION).exists():
        raise UsageError(f"{settings.out}: holds a finished checkpoint; give another --out or remove it")
    if settings.out.exists() and not settings.out.is_dir():
        raise UsageError(f"--out {settings.out}: is a file; give a folder")
    if settings.budget_ms is not None and (settings.model != AUTO or not settings.budget_ms > 0):
        raise UsageError(f"--budget-ms {settings.budget_ms:g}: give milliseconds above 0, and --model {AUTO}")
    system = system_of(STUDENT if settings.model == AUTO else settings.model)
    system.complete(settings.options)
    if not settings.memory and (system.own_memory or settings.model == AUTO):
        raise UsageError(f"--memory off: --model {settings.model} needs one; --model {STUDENT} does not")
    if settings.foreground not in POLICIES:
        raise UsageError(f"--foreground {settings.foreground}: there are {', '.join(POLICIES)}")
    if settings.textures is not None and system.synthesis is None:
        raise UsageError(f"--textures: {settings.model} learns from good images alone; they are for {_synthetic()}")
    if settings.recipe not in RECIPES:
        raise UsageError(f"--recipe {settings.recipe}: there are {', '.join(RECIPES)}")
    if (settings.steps is not None and settings.steps < 1) or settings.batch < 2:
        raise UsageError("--steps must be at least 1, and --batch at least 2 (BatchNorm needs two pictures)")
    if not settings.save_seconds >= 0:
        raise UsageError(f"--save-seconds {settings.save_seconds:g}: must be at least 0")
    if not 0 <= (settings.hold_out or 0) < 1 or not 0 < settings.learning_rate < float("inf"):
        raise UsageError("--hold-out must be at least 0 and below 1, and --learning-rate above 0 and finite")


def _synthetic() -> str:
    """Return the names of the systems that learn from synthetic defects."""
    return " and ".join(name for name, system in SYSTEMS.items() if system.synthesis is not None)


def _losses(phase: Phase, history: History) -> dict[str, Any]:
    """Return the checkpoint's entry on a phase's loss."""
    means = [round(loss, 6) for loss in history.losses[phase.name]]
    return {"steps": phase.steps, "every": phase.every, "means": means}
