"""A trained model on disk: tensors in `checkpoint.safetensors`, everything else in `checkpoint.yaml`. No pickle."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import yaml
from safetensors import SafetensorError

from edge_inspect.edge.configuration.yaml_file import parse_yaml
from edge_inspect.edge.errors import CheckpointError, UsageError, YamlError
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.frame.alignment import ALIGNMENT_PICTURE, Alignment
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.memory import Remembering, map_size
from edge_inspect.models.network import Network
from edge_inspect.models.teacher import Teacher
from edge_inspect.train.systems import system_of

FORMAT = 3
TENSORS = "checkpoint.safetensors"
DESCRIPTION = "checkpoint.yaml"


@dataclass(frozen=True)
class Checkpoint:
    """The description that a checkpoint has beside its tensors.

    Attributes:
        model: Name of the system, see `train.systems`.
        teacher: Name of the teacher.
        teacher_sha256: Digest of the teacher's tensors.
        category: Product that the model was trained for.
        fit: How frames are fitted to the network.
        steps: Optimiser steps in the longest phase; 0 if nothing was trained.
        seed: Random seed of the training.
        trained_on: `edge.frame.images.pixel_digest` of each picture that the model learned from.
        held_out: `edge.frame.images.pixel_digest` of each good picture that was held out.
        options: Options that the network is built with: the student's width, DMDD's trunk, a memory's prototypes and
            grid.
        memory: Number of prototypes in each bank of the memory beside the student; 0 if there is no such memory.
        usual: Whether that memory's map is judged relative to the usual value at each position.
        foreground: How the part is told from its background when flaws are drawn on good pictures.
        training: Other settings and measurements: batch, learning rate, losses, seconds, versions.
    """

    model: str
    teacher: str
    teacher_sha256: str
    category: str
    fit: Fit
    steps: int
    seed: int
    trained_on: list[str]
    held_out: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    memory: int = 0
    usual: bool = False
    foreground: str = "auto"
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def scores(self) -> list[float]:
        """Scores of the pictures in `trained_on`, each by a model that has seen neither the picture nor similar ones.

        Near duplicates share one score. Empty if the training was not cross-fitted.
        """
        return list(self.training.get("scores", ()))

    @property
    def area_scores(self) -> dict[str, list[float]]:
        """The same scores in each area to look at, from the unscaled map, by the area's name.

        Empty if there are fewer than two areas.
        """
        return dict(self.training.get("area_scores", {}))

    @property
    def gives_map(self) -> bool:
        """Whether the network returns a map instead of features to compare."""
        return self.memory > 0 or system_of(self.model).network.gives_map


def save(folder: Path, checkpoint: Checkpoint, model: Network) -> None:
    """Write a checkpoint into a folder; the description is written last, so a folder that has one is complete."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    write_atomically(folder / TENSORS, safetensors.torch.save(tensors))
    fields = {"format": FORMAT, **asdict(replace(checkpoint, fit=Fit())), "fit": checkpoint.fit.as_dict()}
    if (alignment := checkpoint.fit.alignment) is not None:
        write_atomically(folder / ALIGNMENT_PICTURE, alignment.png())
        fields["alignment"] = alignment.as_dict()
    write_atomically(folder / DESCRIPTION, yaml.safe_dump(fields, sort_keys=False).encode())


def load(folder: Path) -> tuple[Checkpoint, Network]:
    """Read a checkpoint and build its model, in evaluation mode.

    Raises:
        CheckpointError: A file is missing, has another format or does not fit; the message names it.
    """
    description = folder / DESCRIPTION
    if not description.is_file():
        unfinished = "; its training has not finished" if folder.is_dir() and any(folder.iterdir()) else ""
        raise CheckpointError(f"{folder}: holds no {DESCRIPTION}{unfinished}; make a checkpoint with edge-train fit")
    try:
        fields = parse_yaml(description.read_bytes()).value
        version = fields.pop("format")
    except (YamlError, AttributeError, KeyError, TypeError, OSError) as error:
        raise CheckpointError(f"{description}: is not the description of a checkpoint: {error}") from error
    if version != FORMAT:
        raise CheckpointError(f"{description}: has format {version}; this program reads format {FORMAT}: train again")
    try:
        fit = Fit.from_dict(fields.pop("fit"))
        if (alignment := fields.pop("alignment", None)) is not None:
            fit = replace(fit, alignment=Alignment.from_dict(alignment, (folder / ALIGNMENT_PICTURE).read_bytes()))
        checkpoint = Checkpoint(**fields, fit=fit)
        model = system_of(checkpoint.model).build(Teacher(checkpoint.teacher), checkpoint.options)
        if checkpoint.memory:
            model = Remembering(model, checkpoint.memory, map_size(fit.height, fit.width) if checkpoint.usual else None)
    except (AttributeError, TypeError, KeyError, ValueError, OSError, UsageError) as error:
        raise CheckpointError(f"{description}: is not the description of a checkpoint: {error}") from error
    _load_tensors(model, folder / TENSORS)
    return checkpoint, model.eval()


def _load_tensors(model: Network, path: Path) -> None:
    try:
        tensors = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: is not a safetensors file: {error}") from error
    wanted = model.state_dict()
    wrong = sorted(
        name
        for name in wanted.keys() | tensors.keys()
        if name not in wanted or name not in tensors or wanted[name].shape != tensors[name].shape
    )
    if wrong:
        raise CheckpointError(f"{path}: its tensors are not this model's; {len(wrong)} differ: {', '.join(wrong[:5])}")
    model.load_state_dict(tensors)
