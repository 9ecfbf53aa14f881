"""Memory: prototypes of good parts' features; nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.discrepancy import EPSILON
from models.memory import Memory, local_features
from train.material import Material
from train.phase import Phase
from train.progress import tracked
from train.prototypes import Sample, k_centre
from train.systems.system import System, Unseen, number

MOST_VECTORS = 40_000
"""How many features of good parts the prototypes are chosen from at most: 25 MB with EfficientNet-Lite0."""


def no_phases(model: Memory, material: Material, epochs: int, rate: float) -> list[Phase]:
    """Return no phase: nothing is trained."""
    return []


def fill(model: Memory, material: Material, unseen: Unseen, options: Mapping[str, Any]) -> dict[str, Any]:
    """Fill both banks of a memory from the training pictures; return how long that took."""
    started = time.perf_counter()
    vectors = _sample(model, material)
    plain, standardised = model.banks
    standardised.mean.copy_(vectors.mean(0))
    standardised.scale.copy_(1 / vectors.std(0).clamp(min=EPSILON))
    for bank, label in ((plain, "memory"), (standardised, "memory, standardised")):
        directions = bank.directions(vectors.T[None, :, :, None])[0, :, :, 0].T.contiguous()
        bank.prototypes.copy_(k_centre(directions, len(bank.prototypes), label))
        bank.spread.copy_(_spread(directions, len(bank.prototypes)))
    return {"memory_seconds": round(time.perf_counter() - started, 1)}


@torch.no_grad()
def _sample(model: Memory, material: Material) -> Tensor:
    """Return features of the training pictures, (N, C), picture by picture, at most `MOST_VECTORS`."""
    count = len(material.pictures)
    sample = Sample(count, MOST_VECTORS, material.seed)
    starts = range(0, count, material.batch)
    for start in tracked(starts, len(starts), "features", "batches"):
        index = torch.from_numpy(np.arange(start, min(start + material.batch, count)))
        with material.arithmetic.autocast():
            features = model.teacher(material.images(index))
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


SYSTEM = System(
    Memory,
    "nothing is trained: ready in seconds, from 10 pictures on",
    no_phases,
    options=(number("prototypes", 1000, 1, 20_000, "how many features of good parts each of its two banks keeps"),),
    teacher="tf_efficientnet_lite0",
    finish=fill,
)
