"""Fills a memory with prototypes of good parts' features; nothing is trained for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.discrepancy import EPSILON
from models.memory import Banks, local_features
from models.teacher import Teacher
from train.material import Material
from train.progress import tracked
from train.prototypes import Sample, k_centre

MOST_VECTORS = 40_000
"""How many features of good parts the prototypes are chosen from at most: 25 MB with EfficientNet-Lite0."""


@torch.no_grad()
def fill(banks: Banks, teacher: Teacher, material: Material) -> None:
    """Fill both banks of a memory from the training pictures."""
    vectors = _sample(teacher, material)
    standardised = banks.standardised
    standardised.mean.copy_(vectors.mean(0))
    standardised.scale.copy_(1 / vectors.std(0).clamp(min=EPSILON))
    for bank, label in ((banks.plain, "memory"), (standardised, "memory, standardised")):
        directions = bank.directions(vectors.T[None, :, :, None])[0, :, :, 0].T.contiguous()
        bank.prototypes.copy_(k_centre(directions, len(bank.prototypes), label))
        bank.spread.copy_(_spread(directions, len(bank.prototypes)))


def _sample(teacher: Teacher, material: Material) -> Tensor:
    """Return features of the training pictures, (N, C), picture by picture, at most `MOST_VECTORS`."""
    count = len(material.pictures)
    sample = Sample(count, MOST_VECTORS, material.seed)
    starts = range(0, count, material.batch)
    for start in tracked(starts, len(starts), "features", "batches"):
        index = torch.from_numpy(np.arange(start, min(start + material.batch, count)))
        with material.arithmetic.autocast():
            features = teacher(material.images(index))
        for picture in local_features(features).flatten(2).transpose(1, 2):
            sample.add(picture)
    return sample.vectors()


def _spread(directions: Tensor, prototypes: int) -> Tensor:
    """Return how much the distances of one half of the pictures from the other half's prototypes differ."""
    halves = directions.chunk(2)
    distances = []
    for known, new in (halves, halves[::-1]):
        kept = k_centre(known, max(1, prototypes // 2), "memory, spread")
        distances.append(1 - torch.cat([(part @ kept.T).amax(1) for part in new.split(4096)]))
    return torch.cat(distances).std().clamp(min=EPSILON)
