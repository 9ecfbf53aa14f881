"""How a memory is filled with prototypes of good parts' features; nothing is trained for it.

Cross-fitting costs little here. Memories that leave out one block of the pictures each are filled in the same pass as
the memory of all pictures, and each picture is scored by the memory that has not seen it. So every good picture that
the shipped memory knows helps to set the threshold.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edge_inspect.models.discrepancy import EPSILON
from edge_inspect.models.memory import Banks, Memory, Remembering, local_features
from edge_inspect.models.teacher import Teacher
from edge_inspect.train.crossfit import CrossFit
from edge_inspect.train.material import Material
from edge_inspect.train.progress import tracked
from edge_inspect.train.prototypes import Sample, k_centre

MOST_VECTORS = 40_000
"""Most features of good parts from which the prototypes are chosen: 25 MB with EfficientNet-Lite0."""


@torch.no_grad()
def fill(banks: Banks, teacher: Teacher, material: Material, blocks: NDArray[np.intp] | None = None) -> list[Banks]:
    """Fill both banks of a memory from the training pictures; return memories that leave out one block of them each.

    They use the units of the memory of all: its means and scales of channels, and its spreads.

    Args:
        banks: The memory of all pictures.
        teacher: Teacher whose features are kept.
        material: The training pictures.
        blocks: Block of each picture, numbered from 0, at least two; without it, no block is left out.
    """
    sample = _sample(teacher, material)
    vectors, picture = sample.vectors(), sample.groups() // material.augmentation.shown
    members = _members(picture, blocks).to(vectors.device)
    banks.standardised.mean.copy_(vectors.mean(0))
    banks.standardised.scale.copy_(1 / vectors.std(0).clamp(min=EPSILON))
    without = [copy.deepcopy(banks) for _ in range(len(members) - 3)]
    for name in ("plain", "standardised"):
        whole = getattr(banks, name)
        directions = whole.directions(vectors.T[None, :, :, None])[0, :, :, 0].T.contiguous()
        everything, one, other, *lacking = k_centre(directions, members, len(whole.prototypes), f"memory, {name}")
        spread = _spread(directions, members[1], one, other)
        for bank, prototypes in zip([whole, *(getattr(b, name) for b in without)], [everything, *lacking], strict=True):
            bank.prototypes.copy_(prototypes)
            bank.spread.copy_(spread)
    return without


def cross_fit(model: Memory | Remembering, material: Material, crossfit: CrossFit) -> Tensor:
    """Fill a memory from all pictures; return the distances of each picture by a memory that leaves out its block.

    They are computed in float32, as in the exported network.

    Returns:
        Distances of the tiles of all pictures, in order, (N, 1, h, w).
    """
    without = fill(model.banks, model.teacher, material, crossfit.block_of_tile)
    tiles, device = crossfit.fit.grid.count, material.arithmetic.device
    maps = []
    for picture, block in enumerate(tracked(crossfit.blocks, len(crossfit.blocks), "cross-fitted maps", "images")):
        images = material.images(torch.arange(picture * tiles, (picture + 1) * tiles)).to(device)
        with torch.inference_mode():
            maps.append(without[block](model.teacher(images)).float().cpu())
    return torch.cat(maps)


def _sample(teacher: Teacher, material: Material) -> Sample:
    """Return features of the training pictures, each followed by its variants, at most `MOST_VECTORS`."""
    sample = Sample(material.count, MOST_VECTORS, material.seed)
    order = torch.arange(material.count).view(-1, len(material.pictures)).T.flatten()
    batches = order.split(material.batch)
    for index in tracked(batches, len(batches), "features", "batches"):
        with material.arithmetic.autocast():
            features = teacher(material.images(index))
        local = local_features(features)
        seen = _looked_at(material, index, (local.shape[2], local.shape[3]))
        for picture, positions in zip(local.flatten(2).transpose(1, 2), seen, strict=True):
            sample.add(picture if positions is None else picture[positions.to(picture.device)])
    return sample


def _looked_at(material: Material, index: Tensor, size: tuple[int, int]) -> list[Tensor | None]:
    """Return which positions of pictures' features see anything that is looked at, each (h w,) bool; `None` for all."""
    if material.fit is None or material.fit.areas is None:
        return [None] * len(index)
    places = material.fit.grid.places()
    looked_at = np.stack([~material.fit.blind[place] for place in places])
    share = functional.interpolate(torch.from_numpy(looked_at)[:, None].float(), size=size, mode="area")
    return [share[number % len(material.pictures) % len(places)].flatten() > 0 for number in index.tolist()]


def _members(picture: Tensor, blocks: NDArray[np.intp] | None) -> Tensor:
    """Return which vectors are in each subset, (3 + B, N): all, first half, second half, all but one of the blocks."""
    early = torch.arange(len(picture)) < (len(picture) + 1) // 2
    subsets = [torch.ones_like(early), early, ~early]
    if blocks is not None:
        block = torch.from_numpy(blocks)[picture]
        subsets += [block != number for number in range(int(blocks.max()) + 1)]
    return torch.stack(subsets)


def _spread(directions: Tensor, early: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Return the spread of the distances of each half of the vectors from the other half's prototypes.

    Args:
        directions: Unit vectors, (N, C).
        early: Whether a vector is in the first half, (N,).
        one: Prototypes of the first half, (K, C); half of them are used.
        other: Prototypes of the second half, (K, C); half of them are used.
    """
    few = max(1, len(one) // 2)
    pairs = ((directions[~early], one[:few]), (directions[early], other[:few]))
    distances = [1 - torch.cat([(part @ known.T).amax(1) for part in new.split(4096)]) for new, known in pairs]
    return torch.cat(distances).std().clamp(min=EPSILON)
