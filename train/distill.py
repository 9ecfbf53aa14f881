"""The embedded teacher: a compact CNN that learns an ImageNet network's features on rendered pictures.

There are two terms for each scale. The first trains the compact features to predict the large network's standardised
features, through a 1x1 projection that is thrown away afterwards (as EfficientAD distils its teacher, arXiv
2303.14535). The second matches the cosines between positions, because the discrepancy is a cosine: positions that are
alike or different for the large network should be so for the compact one (similarity-preserving distillation, arXiv
1907.09682).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.frame.images import list_images, read_image
from edge_inspect.models.blocks import initialise
from edge_inspect.models.teacher import EMBEDDED, Teacher
from edge_inspect.train.device import open_device
from edge_inspect.train.material import normalise
from edge_inspect.train.progress import Progress, tracked
from edge_inspect.train.teachers import open_teacher
from edge_inspect.train.textures import render_textures

SIMILARITY_WEIGHT = 10.0
POSITIONS = 512
RENDERED_SIZE = 256


@dataclass(frozen=True)
class Distillation:
    """How the compact teacher is made; the defaults made the one that ships.

    Attributes:
        source: Name of the network to learn from.
        source_weights: Weight file of that network.
        out: Safetensors file to write.
        images: Folder of further pictures, mixed with the rendered ones.
        rendered: Number of rendered pictures.
        steps: Number of optimiser steps.
        batch: Number of crops in each step.
        crop: Side of the crops in pixels.
        learning_rate: Adam's learning rate at the start; it falls to 0 along a cosine.
        seed: Random seed for pictures and weights.
        device: `auto`, `cpu` or `cuda`.
    """

    source: str
    source_weights: Path | None
    out: Path
    images: Path | None = None
    rendered: int = 4000
    steps: int = 6000
    batch: int = 16
    crop: int = 128
    learning_rate: float = 0.002
    seed: int = 0
    device: str = "auto"


def distil(recipe: Distillation) -> float:
    """Make the compact teacher and write its weights in float16; return the mean loss of the last 200 steps.

    Raises:
        UsageError: The device or the folder of pictures does not exist.
        CheckpointError: The source's weights are missing.
    """
    if recipe.out.suffix != ".safetensors":
        raise UsageError(f"--out {recipe.out}: must end in .safetensors")
    device = open_device(recipe.device)
    torch.manual_seed(recipe.seed)
    source = open_teacher(recipe.source, recipe.source_weights).to(device).to(memory_format=torch.channels_last)
    compact = Teacher(EMBEDDED)
    initialise(compact.network)
    compact.to(device).to(memory_format=torch.channels_last)
    pictures = _pictures(recipe)
    crops = _crops(pictures, recipe)
    scales = [_Scale(*pair).to(device) for pair in zip(compact.channels, source.channels, strict=True)]
    first = torch.cat([normalise(next(crops)) for _ in range(8)]).to(device)
    for scale, features in zip(scales, source(first), strict=True):
        scale.standardise(features)
    parameters = [*compact.network.parameters(), *(p for scale in scales for p in scale.parameters())]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(parameters, lr=recipe.learning_rate, weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    compact.network.train()  # Teacher.train() refuses, because a teacher in use is frozen
    losses: list[float] = []
    with Progress(recipe.steps, f"{EMBEDDED} teacher", "steps") as progress:
        for _ in range(recipe.steps):
            image = normalise(next(crops)).to(device)
            wanted, given = source(image), compact.network(image)
            total = torch.stack([scale(s, t) for scale, s, t in zip(scales, given, wanted, strict=True)]).sum()
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            optimizer.step()
            schedule.step()
            losses.append(total.item())
            progress.step(note=f"loss {np.mean(losses[-50:]):.3f}")
    last = float(np.mean(losses[-200:]))
    tensors = {
        name: tensor.detach().half().contiguous().cpu()
        for name, tensor in compact.network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    about = {"source": recipe.source, "steps": recipe.steps, "rendered": recipe.rendered, "seed": recipe.seed}
    # One key only: with several, the file format writes them in an order that changes from run to run.
    metadata = {"recipe": json.dumps({**about, "loss": round(last, 4)})}
    write_atomically(recipe.out, safetensors.torch.save(tensors, metadata))
    return last


class _Scale(nn.Module):
    """The loss of one scale: prediction of standardised features through a projection, and cosines of positions."""

    def __init__(self, compact: int, source: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(compact, source, 1)
        self.register_buffer("mean", torch.zeros(1, source, 1, 1))
        self.register_buffer("std", torch.ones(1, source, 1, 1))

    def standardise(self, features: Tensor) -> None:
        self.mean = features.mean((0, 2, 3), keepdim=True)
        self.std = features.std((0, 2, 3), keepdim=True) + 1e-3

    def forward(self, given: Tensor, wanted: Tensor) -> Tensor:
        predicted = functional.mse_loss(self.project(given), (wanted - self.mean) / self.std)
        count = given.shape[0] * given.shape[2] * given.shape[3]
        chosen = torch.randint(count, (POSITIONS,), device=given.device)
        similarity = functional.mse_loss(_cosines(given, chosen), _cosines(wanted, chosen))
        return predicted + SIMILARITY_WEIGHT * similarity


def _cosines(features: Tensor, chosen: Tensor) -> Tensor:
    vectors = functional.normalize(features.permute(0, 2, 3, 1).flatten(0, 2)[chosen], dim=1)
    return vectors @ vectors.T


def _pictures(recipe: Distillation) -> list[NDArray[np.uint8]]:
    if recipe.images is not None and not recipe.images.is_dir():
        raise UsageError(f"--images {recipe.images}: no such folder")
    size = (RENDERED_SIZE, RENDERED_SIZE)
    rendered = render_textures(recipe.rendered, size, recipe.seed)
    pictures = list(tracked(rendered, recipe.rendered, "rendering", "pictures"))
    if recipe.images is not None:
        pictures += [read_image(path) for path in list_images(recipe.images)]
    if not pictures or min(min(p.shape[:2]) for p in pictures) < recipe.crop:
        raise UsageError(f"pictures must be at least {recipe.crop} pixels wide and high, the size of a crop")
    return pictures


def _crops(pictures: list[NDArray[np.uint8]], recipe: Distillation) -> Iterator[NDArray[np.uint8]]:
    """Yield batches of random crops for ever, flipped or rotated at random: (batch, crop, crop, 3) uint8."""
    rng = np.random.default_rng(recipe.seed)
    side = recipe.crop
    while True:
        batch = np.empty((recipe.batch, side, side, 3), np.uint8)
        for i in range(recipe.batch):
            picture = pictures[rng.integers(len(pictures))]
            y, x = rng.integers(picture.shape[0] - side + 1), rng.integers(picture.shape[1] - side + 1)
            crop = np.rot90(picture[y : y + side, x : x + side], int(rng.integers(4)))
            batch[i] = crop[:, ::-1] if rng.random() < 0.5 else crop
        yield batch
