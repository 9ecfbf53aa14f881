"""Cross-fitting of a student: each half of the pictures is scored by a student that learned from the other half.

A memory leaves out a block of pictures in seconds. A student has to be trained again for each block. So there are only
two blocks, and each of these students takes the steps that its share of the pictures has: both together take as many
steps as the student that is shipped. They know less than that one, so their scores of good parts are a little higher.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from edge_inspect.models.discrepancy import upsample
from edge_inspect.models.memory import Remembering, Usual
from edge_inspect.models.network import Network
from edge_inspect.train.crossfit import CrossFit
from edge_inspect.train.material import Material
from edge_inspect.train.memory import cross_fit
from edge_inspect.train.progress import tracked
from edge_inspect.train.usual import by_others

HALVES = 2
FEWEST_TO_HALVE = 20
"""Smallest number of pictures that are cross-fitted; with fewer, half of them are too few to train a student."""
ENOUGH_HELD = 100
"""Number of held-out pictures that set a threshold well enough without the others."""
FOLDER = "halves"
"""Folder beside the checkpoint in which students of the halves are trained; it is removed at the end."""

Train = Callable[[Material, int], Network]
"""Trains a student of the same system; called with its pictures and with the number of the half that they leave out."""


def cross_fit_student(model: Network, material: Material, crossfit: CrossFit, train: Train) -> Tensor:
    """Return the maps of the pictures that a student learned from, by students that have not seen them.

    Args:
        model: The student that is shipped, trained, with or without a memory beside it.
        material: Its pictures.
        crossfit: Their two halves.
        train: See `Train`.

    Returns:
        Maps of the tiles of all pictures, in order, (N, 1, h, w).
    """
    maps: list[Tensor] = [torch.empty(0)] * len(crossfit.blocks)
    for half in range(HALVES):
        student = train(_without(half, material, crossfit), half).eval()
        places = [place for place, block in enumerate(crossfit.blocks) if block == half]
        for place in tracked(places, len(places), f"cross-fitted maps, half {half + 1}", "images"):
            maps[place] = _map(student, material, _tiles(place, crossfit))
    of_all = torch.cat(maps)
    if not isinstance(model, Remembering):
        return of_all
    own, other = model.weights.cpu()
    return of_all * own + upsample(_remembered(model, material, crossfit), of_all.shape[-2:]) * other


def _remembered(model: Remembering, material: Material, crossfit: CrossFit) -> Tensor:
    """Return the map of each picture by a memory of the other half, (N, 1, h, w), in the units of the whole memory."""
    maps = cross_fit(copy.deepcopy(model), material, crossfit)
    return by_others(maps, torch.tensor(crossfit.blocks)) if isinstance(model.usual, Usual) else maps


def _without(half: int, material: Material, crossfit: CrossFit) -> Material:
    """Return the pictures of the other half."""
    kept = np.flatnonzero(crossfit.block_of_tile != half)
    synthesis, shown = material.synthesis, material.shown
    return dataclasses.replace(
        material,
        pictures=material.pictures[kept],
        synthesis=None if synthesis is None else synthesis.only(kept),
        crossfit=None,
        shown=None if shown is None else [shown[place] for place in kept.tolist()],
        waited=0.0,
    )


def _tiles(place: int, crossfit: CrossFit) -> Tensor:
    """Return the numbers of a picture's tiles."""
    count = crossfit.fit.grid.count
    return torch.arange(place * count, (place + 1) * count)


@torch.inference_mode()
def _map(student: Network, material: Material, tiles: Tensor) -> Tensor:
    """Return the student's map of a picture's tiles, (tiles, 1, h, w), in float32, as in the exported network."""
    images = material.images(tiles)
    return student.map_of(images, student.teacher(images)).float().cpu()
