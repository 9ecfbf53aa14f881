"""Prototypes of good features, chosen by greedy k-centre from a bounded sample."""

from __future__ import annotations

import torch
from torch import Tensor

from train.progress import tracked


class Sample:
    """A bounded random sample of vectors that come in groups: as many of each group, and in all at most `most`.

    Args:
        groups: How many groups will come.
        most: How many vectors are kept at most; memory is bounded by it, however many groups there are.
        seed: Random seed of the draw.
    """

    def __init__(self, groups: int, most: int, seed: int) -> None:
        self._each = max(1, most // groups)
        self._keep = min(1.0, most / groups)
        self._generator = torch.Generator().manual_seed(seed)
        self._kept: list[Tensor] = []

    def add(self, vectors: Tensor) -> None:
        """Take a group in, (N, C)."""
        if self._keep < 1 and float(torch.rand((), generator=self._generator)) >= self._keep:
            return
        index = torch.randperm(len(vectors), generator=self._generator)[: self._each]
        self._kept.append(vectors[index.to(vectors.device)])

    def vectors(self) -> Tensor:
        """Return all that was kept, (N, C)."""
        return torch.cat(self._kept)


def k_centre(vectors: Tensor, count: int, label: str) -> Tensor:
    """Return `count` of the vectors, each the one farthest from those before it.

    Greedy k-centre (Gonzalez, 1985) by cosine distance. The first vector is the first prototype, so the same vectors
    give the same prototypes. Where there are fewer vectors than `count`, the first is repeated, which changes no
    distance.

    Args:
        vectors: Unit vectors, (N, C) float32.
        count: How many.
        label: What progress calls it.
    """
    chosen = [0]
    nearest = 1 - vectors @ vectors[0]
    for _ in tracked(range(min(count, len(vectors)) - 1), min(count, len(vectors)) - 1, label, "prototypes"):
        farthest = int(nearest.argmax())
        chosen.append(farthest)
        nearest = torch.minimum(nearest, 1 - vectors @ vectors[farthest])
    chosen += [0] * (count - len(chosen))
    return vectors[chosen]
