"""The saved state from which an interrupted training resumes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from edge_inspect.edge.errors import CheckpointError, UsageError
from edge_inspect.edge.files import write_atomically
from edge_inspect.train.journal import History

RESUME = "resume.safetensors"


@contextlib.contextmanager
def writing(out: Path) -> Iterator[None]:
    """Turn errors of the disk into a message that names the remedy."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"--out {out}: cannot be written: {error.strerror}; make room there or give another folder"
        ) from error


@dataclass
class Saved:
    """The state that an interrupted training left behind."""

    history: History
    model: dict[str, Tensor]
    moments: dict[str, Tensor]

    def restore(self, optimizer: torch.optim.Optimizer) -> None:
        """Restore the saved moments of an optimiser."""
        state = optimizer.state_dict()
        for name, tensor in self.moments.items():
            index, moment = name.split(".")
            state["state"].setdefault(int(index), {})[moment] = tensor
        optimizer.load_state_dict(state)


class ResumeState:
    """Model and optimiser between two steps, in one safetensors file that names the training it belongs to."""

    def __init__(self, folder: Path, label: str, training: dict[str, Any]) -> None:
        self.label = label
        self._path, self._out = folder / RESUME, folder
        self._steps = 0
        self._training = json.loads(json.dumps(training))

    def of_half(self, folder: Path, half: int) -> ResumeState:
        """Return the state, in a folder of its own, of a student that learns from half of this training's pictures.

        Args:
            folder: The folder.
            half: Number of the half, from 1.
        """
        return ResumeState(folder, f"{self.label}, half {half}", self._training | {"half": half})

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, history: History) -> None:
        """Write the state between two steps.

        Raises:
            UsageError: The file cannot be written.
        """
        tensors = {f"model.{k}": v.contiguous().cpu() for k, v in model.state_dict().items()}
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{k}": v.contiguous().cpu() for k, v in moments.items()}
        about = {"training": self._training, "history": dataclasses.asdict(history)}
        with writing(self._out):
            write_atomically(self._path, safetensors.torch.save(tensors, {"state": json.dumps(about)}))
        self._steps = history.steps

    def kept(self) -> str:
        """Return which part of the training is saved, for a person who interrupts it."""
        if not self._path.is_file():
            return f"{self.label}: nothing is saved yet, so the same command starts again; a save is made once a minute"
        return f"{self.label}: {self._steps} steps are saved in {self._path}; the same command resumes from there"

    def load(self) -> Saved | None:
        """Return the saved state; `None` if there is none.

        Raises:
            CheckpointError: The file cannot be read.
            UsageError: The state belongs to another training.
        """
        if not self._path.is_file():
            return None
        try:
            with safetensors.safe_open(self._path, "pt") as file:
                about = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator of its own)
            history = History(**about["history"])
        except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self._path}: cannot be read, so training cannot resume; remove it") from error
        if about["training"] != self._training:
            other = [k for k, v in self._training.items() if about["training"].get(k) != v]
            raise UsageError(
                f"{self._path}: belongs to a training with another {', '.join(other)}; give another --out or remove it"
            )
        self._steps = history.steps
        return Saved(history, _under("model.", tensors), _under("adam.", tensors))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
