"""The training loop: good pictures of one category to a checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.errors import CheckpointError, DataSetError, UsageError
from edge.files import sha256, write_atomically
from edge.fit import MEAN, STD, Fit
from edge.memory import peak_mb
from models import registry
from models.rd import ReverseDistillation
from train import checkpoint
from train.checkpoint import Checkpoint
from train.datasets import Category, hold_out, load_fitted
from train.progress import Progress, tracked
from train.teachers import open_teacher, weights_digest

RESUME = "resume.safetensors"
SAVE_EVERY_S = 60.0


@dataclass(frozen=True)
class Settings:
    """What `edge-train fit` is asked for; the defaults are RD4AD's recipe (METHODS.md 1.d) but for the epochs.

    Attributes:
        data: Folder of categories.
        category: The product.
        out: Where the checkpoint goes.
        model: The system.
        teacher: The teacher's name.
        teacher_weights: Its weight file.
        fit: How frames are brought to the network.
        epochs: Passes over the training pictures.
        batch: Pictures a step.
        learning_rate: Adam's.
        seed: Of everything random.
        hold_out: Share of the good pictures kept aside for the threshold.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        precision: `auto`, `float32` or `bfloat16`: `auto` is bfloat16 where the processor multiplies it in hardware.
        cache_gb: Memory for the teacher's features; above it they are computed anew in each step.
    """

    data: Path
    category: str
    out: Path
    model: str = "rd"
    teacher: str = "embedded"
    teacher_weights: Path | None = None
    fit: Fit = dataclasses.field(default_factory=Fit)
    epochs: int = 100
    batch: int = 16
    learning_rate: float = 0.005
    seed: int = 0
    hold_out: float = 0.1
    device: str = "auto"
    precision: str = "auto"
    cache_gb: float = 4.0


def fit(settings: Settings) -> Checkpoint:
    """Trains and writes the checkpoint of the last epoch.

    Interrupted, it goes on from the last saved epoch when called again with the same settings; the result is the same.

    Raises:
        UsageError: A setting cannot be used here, or `out` holds another training.
        DataSetError: The pictures are not there.
        CheckpointError: The teacher's weights are not there.
    """
    if (settings.out / checkpoint.DESCRIPTION).exists():
        raise UsageError(f"{settings.out}: holds a finished checkpoint; give another --out or remove it")
    if settings.out.exists() and not settings.out.is_dir():
        raise UsageError(f"--out {settings.out}: is a file; give a folder")
    if settings.model not in registry.MODELS:
        raise UsageError(f"--model {settings.model}: there are {', '.join(registry.MODELS)}")
    if settings.epochs < 1 or settings.batch < 2:
        raise UsageError("--epochs must be at least 1, and --batch at least 2 (BatchNorm needs two pictures)")
    if not 0 <= settings.hold_out < 1 or settings.learning_rate <= 0:
        raise UsageError("--hold-out must be at least 0 and below 1, and --learning-rate above 0")
    device = open_device(settings.device)
    reduced = _use_bfloat16(settings.precision, device)
    images = Category.open(settings.data, settings.category).train_images()
    learn_from, held = hold_out(images, settings.hold_out, settings.seed)
    if len(learn_from) < 2:
        raise DataSetError(f"{settings.data / settings.category}: {len(images)} good images are too few to learn from")
    torch.manual_seed(settings.seed)
    teacher = open_teacher(settings.teacher, settings.teacher_weights)
    model = registry.build(settings.model, teacher).to(device, memory_format=torch.channels_last)
    digests = [sha256(path) for path in learn_from]
    started = time.perf_counter()
    pictures = load_fitted(learn_from, settings.fit)
    settings.out.mkdir(parents=True, exist_ok=True)
    source = _FeatureSource(model, pictures, device, settings, reduced)
    losses, seconds = _train(model, source, settings, {"pictures": digests, "teacher weights": weights_digest(teacher)})
    result = Checkpoint(
        model=settings.model,
        teacher=settings.teacher,
        teacher_sha256=weights_digest(teacher),
        category=settings.category,
        fit=settings.fit,
        epochs=settings.epochs,
        seed=settings.seed,
        trained_on=digests,
        held_out=[sha256(path) for path in held],
        training={
            "batch": settings.batch,
            "learning_rate": settings.learning_rate,
            "device": device.type,
            "precision": "bfloat16" if reduced else "float32",
            "seconds": round(seconds + source.seconds, 1),
            "seconds_of_this_run": round(time.perf_counter() - started, 1),
            "peak_mb": peak_mb(),
            "loss": [round(loss, 6) for loss in losses],
            "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
        },
    )
    checkpoint.save(settings.out, result, model)
    (settings.out / RESUME).unlink(missing_ok=True)
    return result


def open_device(name: str) -> torch.device:
    """The device to compute on; `auto` is the GPU where there is one.

    Raises:
        UsageError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {name}: {str(error).splitlines()[0]}") from error
    return device


def normalise(pictures: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) uint8 BGR to (N, 3, H, W) float32 RGB, ImageNet-normalised, channels last in memory."""
    rgb = torch.from_numpy(np.ascontiguousarray(pictures[..., ::-1])).permute(0, 3, 1, 2).float()
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    return ((rgb / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def _use_bfloat16(precision: str, device: torch.device) -> bool:
    if precision not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"--precision {precision}: there are auto, float32, bfloat16")
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Emulated, it is several times slower than float32.
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and any(flag in flags.read_text() for flag in ("amx_bf16", "avx512_bf16"))


class _FeatureSource:
    """The teacher's features of the training pictures: computed once where they fit in memory, else step by step."""

    def __init__(
        self,
        model: ReverseDistillation,
        pictures: NDArray[np.uint8],
        device: torch.device,
        settings: Settings,
        reduced: bool,
    ) -> None:
        self._model, self._pictures, self._device, self._reduced = model, pictures, device, reduced
        self.count = len(pictures)
        started = time.perf_counter()
        first = self._compute(slice(0, 1))
        size = sum(f.numel() * f.element_size() for f in first) * self.count
        self._cached: list[Tensor] | None = None
        if size <= settings.cache_gb * 2**30:
            self._cached = [
                f.new_empty((self.count, *f.shape[1:])).to(memory_format=torch.channels_last) for f in first
            ]
            starts = range(0, self.count, settings.batch)
            for start in tracked(starts, len(starts), f"{settings.teacher} features", "batches"):
                chunk = slice(start, start + settings.batch)
                for store, features in zip(self._cached, self._compute(chunk), strict=True):
                    store[chunk] = features
        self.seconds = time.perf_counter() - started

    def batch(self, index: Tensor) -> list[Tensor]:
        """Features of the pictures with these indices."""
        if self._cached is not None:
            return [store[index].contiguous(memory_format=torch.channels_last) for store in self._cached]
        return self._compute(index.numpy())

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The precision of the arithmetic."""
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._reduced)

    def _compute(self, chunk: slice | NDArray[np.int64]) -> list[Tensor]:
        with self.autocast():
            features: list[Tensor] = self._model.teacher(normalise(self._pictures[chunk]).to(self._device))
        return features


def _train(
    model: ReverseDistillation, source: _FeatureSource, settings: Settings, inputs: dict[str, Any]
) -> tuple[list[float], float]:
    optimizer = torch.optim.Adam(
        [p for p in model.parameters() if p.requires_grad], lr=settings.learning_rate, betas=(0.5, 0.999)
    )
    state = _ResumeState(settings, inputs)
    losses, spent = state.load(model, optimizer)
    started = time.perf_counter()
    saved = time.monotonic()
    model.train()
    with Progress(settings.epochs, f"{settings.model} {settings.category}", "epochs") as progress:
        progress.step(len(losses))
        for epoch in range(len(losses), settings.epochs):
            losses.append(_epoch(model, optimizer, source, settings, epoch))
            progress.step(note=f"loss {losses[-1]:.4f}")
            if time.monotonic() - saved > SAVE_EVERY_S and epoch + 1 < settings.epochs:
                state.save(model, optimizer, losses, spent + time.perf_counter() - started)
                saved = time.monotonic()
    model.eval()
    return losses, spent + time.perf_counter() - started


def _epoch(
    model: ReverseDistillation,
    optimizer: torch.optim.Optimizer,
    source: _FeatureSource,
    settings: Settings,
    epoch: int,
) -> float:
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)
    order = torch.randperm(source.count, generator=generator)
    total = 0.0
    for index in order.split(settings.batch):
        if len(index) < 2:  # BatchNorm statistics of one picture are noise
            continue
        features = source.batch(index)
        with source.autocast():
            loss = model.loss(features)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(index)
    if not np.isfinite(total):
        raise CheckpointError(f"the loss became {total} in epoch {epoch + 1}; lower --learning-rate")
    return total / source.count


class _ResumeState:
    """Model and optimiser between two epochs, in one safetensors file that names the training it belongs to."""

    def __init__(self, settings: Settings, inputs: dict[str, Any]) -> None:
        self._path = settings.out / RESUME
        fields = dataclasses.asdict(settings)
        for irrelevant in ("out", "data", "device", "cache_gb", "teacher_weights"):
            fields.pop(irrelevant)
        self._training = json.loads(json.dumps({**fields, **inputs}))

    def save(
        self, model: ReverseDistillation, optimizer: torch.optim.Optimizer, losses: list[float], seconds: float
    ) -> None:
        tensors = {f"model.{k}": v.contiguous().cpu() for k, v in model.state_dict().items()}
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{k}": v.contiguous().cpu() for k, v in moments.items()}
        about = {"training": self._training, "losses": losses, "seconds": seconds}
        write_atomically(self._path, safetensors.torch.save(tensors, {"state": json.dumps(about)}))

    def load(self, model: ReverseDistillation, optimizer: torch.optim.Optimizer) -> tuple[list[float], float]:
        if not self._path.is_file():
            return [], 0.0
        try:
            with safetensors.safe_open(self._path, "pt") as file:
                about = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator of its own)
        except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self._path}: cannot be read, so training cannot go on; remove it") from error
        if about["training"] != self._training:
            other = [k for k, v in self._training.items() if about["training"].get(k) != v]
            raise UsageError(
                f"{self._path}: belongs to a training with another {', '.join(other)}; give another --out or remove it"
            )
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        state = optimizer.state_dict()
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                _, index, moment = name.split(".")
                state["state"].setdefault(int(index), {})[moment] = tensor
        optimizer.load_state_dict(state)
        return about["losses"], about["seconds"]
