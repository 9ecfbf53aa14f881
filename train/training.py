"""The training loop: good pictures of one category to a checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from edge.command import say
from edge.errors import CheckpointError, DataSetError, UsageError
from edge.files import write_atomically
from edge.fit import Fit
from edge.memory import peak_mb
from edge.text import clean
from models import registry
from models.dmdd import TRUNKS, DecoupledDistillation
from models.registry import System
from train import checkpoint
from train.checkpoint import Checkpoint
from train.datasets import Category, GoodImages, hold_out, load_fitted
from train.device import open_arithmetic
from train.examples import Examples
from train.foreground import POLICIES
from train.journal import History, Journal
from train.material import Material
from train.mixture import CHOSEN, MAPS, choose_mixture
from train.phases import Phase, phases_of, synthesis_of
from train.progress import Progress
from train.synthesis import Synthesis
from train.teachers import open_teacher, weights_digest

RESUME = "resume.safetensors"
SAVE_EVERY_S = 60.0
ENOUGH = 50
"""Good images; training works with fewer, and rejects what it has not seen of good parts."""


@dataclass(frozen=True)
class Settings:
    """What `edge-train fit` is asked for; the defaults are RD4AD's recipe (METHODS.md 1.d) but for the epochs.

    Attributes:
        data: Folder of categories.
        category: The product.
        out: Where the checkpoint goes.
        model: The system.
        trunk: DMDD's: `reverse` or `forward`.
        map: DMDD's: `chosen` on synthetic flaws, `head`, or `distances`, see train/mixture.py.
        teacher: The teacher's name.
        teacher_weights: Its weight file.
        fit: How frames are brought to the network.
        epochs: Passes over the training pictures, of the longest phase; the others' are a fixed share of it.
        batch: Pictures a step.
        learning_rate: Adam's.
        seed: Of everything random.
        hold_out: Share of the good pictures kept aside for the threshold, unless the data set keeps some itself.
        textures: Folder of pictures whose texture synthetic defects show; procedural ones without.
        foreground: How the part is told from its background, so that defects lie on it (train/foreground.py).
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        precision: `auto`, `float32` or `bfloat16`: `auto` is bfloat16 where the processor multiplies it in hardware.
        cache_gb: Memory for the teacher's features; above it they are computed anew in each step.
    """

    data: Path
    category: str
    out: Path
    model: str = "rd"
    trunk: str = "reverse"
    map: str = CHOSEN
    teacher: str = "embedded"
    teacher_weights: Path | None = None
    fit: Fit = dataclasses.field(default_factory=Fit)
    epochs: int = 100
    batch: int = 16
    learning_rate: float = 0.005
    seed: int = 0
    hold_out: float = 0.1
    textures: Path | None = None
    foreground: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    cache_gb: float = 4.0


def fit(settings: Settings) -> Checkpoint:
    """Trains and writes the checkpoint of the last epoch.

    Interrupted, it goes on from the last saved epoch when called again with the same settings; the result is the same.

    Raises:
        UsageError: A setting cannot be used here, or `out` holds another training or cannot be written.
        DataSetError: The pictures are not there.
        CheckpointError: The teacher's weights are not there.
    """
    _check(settings)
    arithmetic = open_arithmetic(settings.device, settings.precision)
    category = Category.open(settings.data, settings.category)
    own = category.held_out_images()
    good = GoodImages([*category.train_images(), *own], settings.fit)
    if str(good.copies):
        say(str(good.copies))
    learn_from, held = _split(good.paths, own, settings)
    if len(learn_from) < 2:
        raise DataSetError(
            f"{category.root}: good images to learn from: {len(learn_from)}, of {len(good.paths)} that are there; "
            f"training needs 2 at least, and {ENOUGH} or more to be of use: add some"
            + (", or lower --hold-out" if len(good.paths) > len(learn_from) else "")
        )
    if len(learn_from) < ENOUGH:
        say(
            f"warning: {len(learn_from)} good images to learn from, {len(held)} held out for the threshold: "
            f"{ENOUGH} or more are wanted to learn how good parts differ"
        )
    torch.manual_seed(settings.seed)
    teacher = open_teacher(settings.teacher, settings.teacher_weights)
    teacher_digest = weights_digest(teacher)
    options = {"trunk": settings.trunk} if settings.model == DecoupledDistillation.name else {}
    model = registry.build(settings.model, teacher, options).to(arithmetic.device, memory_format=torch.channels_last)
    pictures = good.only(learn_from)
    wanted = synthesis_of(settings.model)
    synthesis = None
    if wanted is not None:
        seed, textures, foreground = settings.seed, settings.textures, settings.foreground
        synthesis = Synthesis(pictures, seed=seed, textures=textures, foreground=foreground, **wanted)
    material = Material(pictures, synthesis, arithmetic, settings.batch, settings.seed, settings.cache_gb)
    with _writing(settings.out):
        settings.out.mkdir(parents=True, exist_ok=True)
    about = Checkpoint(
        model=settings.model,
        teacher=settings.teacher,
        teacher_sha256=teacher_digest,
        category=clean(category.root.resolve().name),
        fit=settings.fit,
        epochs=settings.epochs,
        seed=settings.seed,
        trained_on=[good.digests[path] for path in learn_from],
        held_out=[good.digests[path] for path in held],
        options=options,
        training={
            "batch": settings.batch,
            "learning_rate": settings.learning_rate,
            "device": arithmetic.device.type,
            "precision": "bfloat16" if arithmetic.reduced else "float32",
        },
    )
    state = _ResumeState(settings, about.category, {"pictures": about.trained_on, "teacher weights": teacher_digest})
    phases = phases_of(model, material, settings.epochs, settings.learning_rate)
    examples = Examples(held or learn_from, settings.fit, settings.foreground)
    journal = Journal(settings.out, about, phases, examples)
    history = _train(model, phases, state, journal)
    if isinstance(model, DecoupledDistillation):
        if settings.map == CHOSEN:
            unseen = load_fitted(held, settings.fit) if held else pictures
            about.training["mixture"] = choose_mixture(model, unseen, arithmetic.device)
        else:
            model.mixture.copy_(torch.tensor(MAPS[settings.map]))
            about.training["mixture"] = {"weights": list(MAPS[settings.map])}
    measured = {
        "seconds": round(history.seconds, 1),
        "seconds_waited_for_data": round(history.waited, 2),
        "peak_mb": peak_mb(),
        "loss": {name: [round(loss, 6) for loss in losses] for name, losses in history.losses.items()},
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
    }
    result = dataclasses.replace(about, training=about.training | measured)
    with _writing(settings.out):
        checkpoint.save(settings.out, result, model)
        (settings.out / RESUME).unlink(missing_ok=True)
    journal.write(model, history, finished=True)
    return result


def _split(good: list[Path], own: list[Path], settings: Settings) -> tuple[list[Path], list[Path]]:
    """The pictures to learn from, and those that are held out: the data set's own, or a share drawn by the seed."""
    if not own:
        return hold_out(good, settings.hold_out, settings.seed)
    kept_aside = set(own)
    return [path for path in good if path not in kept_aside], [path for path in good if path in kept_aside]


def _check(settings: Settings) -> None:
    if (settings.out / checkpoint.DESCRIPTION).exists():
        raise UsageError(f"{settings.out}: holds a finished checkpoint; give another --out or remove it")
    if settings.out.exists() and not settings.out.is_dir():
        raise UsageError(f"--out {settings.out}: is a file; give a folder")
    if settings.model not in registry.MODELS:
        raise UsageError(f"--model {settings.model}: there are {', '.join(registry.MODELS)}")
    for option, value, known in (("trunk", settings.trunk, TRUNKS), ("map", settings.map, (CHOSEN, *MAPS))):
        if value not in known:
            raise UsageError(f"--{option} {value}: there are {', '.join(known)}")
        if value != known[0] and settings.model != DecoupledDistillation.name:
            raise UsageError(f"--{option} {value}: belongs to --model dmdd; {settings.model} has no other")
    if settings.foreground not in POLICIES:
        raise UsageError(f"--foreground {settings.foreground}: there are {', '.join(POLICIES)}")
    if settings.textures is not None and synthesis_of(settings.model) is None:
        raise UsageError(f"--textures: {settings.model} learns from good images alone; they are for aand and dmdd")
    if settings.epochs < 1 or settings.batch < 2:
        raise UsageError("--epochs must be at least 1, and --batch at least 2 (BatchNorm needs two pictures)")
    if not 0 <= settings.hold_out < 1 or not 0 < settings.learning_rate < float("inf"):
        raise UsageError("--hold-out must be at least 0 and below 1, and --learning-rate above 0 and finite")


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turns what the disk refuses into a sentence."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"--out {out}: cannot be written: {error.strerror}; make room there or give another folder"
        ) from error


def _train(model: System, phases: list[Phase], state: _ResumeState, journal: Journal) -> History:
    saved = state.load()
    history = saved.history if saved is not None else History()
    if saved is not None:
        model.load_state_dict(saved.model)
    for phase in phases:
        done = history.done(phase)
        if done == phase.epochs:
            continue
        started = time.perf_counter()
        phase.begin()
        optimizer = torch.optim.Adam(
            [p for part in phase.parts for p in part.parameters()],
            lr=phase.rate,
            betas=(0.5, 0.999),
            weight_decay=phase.weight_decay,
        )
        if done and saved is not None:
            saved.restore(optimizer)
        history.seconds += time.perf_counter() - started
        _run_phase(model, phase, optimizer, history, state, journal)
    model.eval()
    return history


def _run_phase(
    model: System,
    phase: Phase,
    optimizer: torch.optim.Optimizer,
    history: History,
    state: _ResumeState,
    journal: Journal,
) -> None:
    material = phase.material
    losses = history.losses.setdefault(phase.name, [])
    journal.begin(history)
    saved = time.monotonic()
    # Frozen parts stay in evaluation mode: their BatchNorm statistics are part of what they have learned.
    model.eval()
    for part in phase.parts:
        part.train()
    with Progress(phase.epochs, f"{state.label}: {phase.name}", "epochs", done=len(losses)) as progress:
        for epoch in range(len(losses), phase.epochs):
            started, waited = time.perf_counter(), material.waited
            for group in optimizer.param_groups:
                group["lr"] = phase.rate * phase.schedule(epoch / phase.epochs)
            try:
                losses.append(train_epoch(phase, optimizer, material, epoch))
            except KeyboardInterrupt:
                say(f"\n{state.kept()}")
                raise
            history.seconds += time.perf_counter() - started
            history.waited += material.waited - waited
            progress.step(note=f"loss {losses[-1]:.4f}")
            if time.monotonic() - saved > SAVE_EVERY_S:
                state.save(model, optimizer, history)
                journal.write(model, history)
                saved = time.monotonic()


def train_epoch(phase: Phase, optimizer: torch.optim.Optimizer, material: Material, epoch: int) -> float:
    """One pass over the pictures; the mean loss of its steps.

    Raises:
        CheckpointError: The loss is no number any more.
    """
    losses: list[Tensor] = []
    for batch in phase.batches(epoch):
        with material.arithmetic.autocast():
            loss = phase.loss(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    mean = float(torch.stack(losses).mean())
    if not np.isfinite(mean):
        raise CheckpointError(f"the loss became {mean} in epoch {epoch + 1}; lower --learning-rate")
    return mean


@dataclass
class _Saved:
    """What an interrupted training left behind."""

    history: History
    model: dict[str, Tensor]
    moments: dict[str, Tensor]

    def restore(self, optimizer: torch.optim.Optimizer) -> None:
        state = optimizer.state_dict()
        for name, tensor in self.moments.items():
            index, moment = name.split(".")
            state["state"].setdefault(int(index), {})[moment] = tensor
        optimizer.load_state_dict(state)


class _ResumeState:
    """Model and optimiser between two epochs, in one safetensors file that names the training it belongs to."""

    def __init__(self, settings: Settings, category: str, inputs: dict[str, Any]) -> None:
        self.label = f"{settings.model} {category}"
        self._path, self._out = settings.out / RESUME, settings.out
        self._epochs = 0
        fields = dataclasses.asdict(settings)
        for irrelevant in ("out", "data", "device", "cache_gb", "teacher_weights", "textures"):
            fields.pop(irrelevant)
        self._training = json.loads(json.dumps({**fields, **inputs}))

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, history: History) -> None:
        tensors = {f"model.{k}": v.contiguous().cpu() for k, v in model.state_dict().items()}
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{k}": v.contiguous().cpu() for k, v in moments.items()}
        about = {"training": self._training, "history": dataclasses.asdict(history)}
        with _writing(self._out):
            write_atomically(self._path, safetensors.torch.save(tensors, {"state": json.dumps(about)}))
        self._epochs = sum(map(len, history.losses.values()))

    def kept(self) -> str:
        """What of the training is on the disk, for a person who interrupts it."""
        if not self._path.is_file():
            return f"{self.label}: nothing is saved yet, so the same command begins anew; a save is made once a minute"
        return f"{self.label}: {self._epochs} epochs are saved in {self._path}; the same command goes on from there"

    def load(self) -> _Saved | None:
        if not self._path.is_file():
            return None
        try:
            with safetensors.safe_open(self._path, "pt") as file:
                about = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator of its own)
            history = History(**about["history"])
        except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self._path}: cannot be read, so training cannot go on; remove it") from error
        if about["training"] != self._training:
            other = [k for k, v in self._training.items() if about["training"].get(k) != v]
            raise UsageError(
                f"{self._path}: belongs to a training with another {', '.join(other)}; give another --out or remove it"
            )
        self._epochs = sum(map(len, history.losses.values()))
        return _Saved(history, _under("model.", tensors), _under("adam.", tensors))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
