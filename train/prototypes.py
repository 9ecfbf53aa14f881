"""Prototypes of good features, chosen by greedy k-centre from a bounded sample."""

from __future__ import annotations

import torch
from torch import Tensor

from edge_inspect.train.progress import tracked


class Sample:
    """A bounded random sample of vectors that come in groups: equally many of each group, at most `most` in all.

    Args:
        groups: Number of groups that will come.
        most: Most vectors that are kept, which bounds memory, however many groups there are.
        seed: Random seed of the draw.
    """

    def __init__(self, groups: int, most: int, seed: int) -> None:
        self._each = max(1, most // groups)
        self._keep = min(1.0, most / groups)
        self._generator = torch.Generator().manual_seed(seed)
        self._kept: list[Tensor] = []
        self._groups: list[Tensor] = []
        self._come = 0

    def add(self, vectors: Tensor) -> None:
        """Add the vectors of a group, (N, C)."""
        group, self._come = self._come, self._come + 1
        if self._keep < 1 and float(torch.rand((), generator=self._generator)) >= self._keep:
            return
        index = torch.randperm(len(vectors), generator=self._generator)[: self._each]
        self._kept.append(vectors[index.to(vectors.device)])
        self._groups.append(torch.full((len(index),), group))

    def vectors(self) -> Tensor:
        """Return all vectors that were kept, (N, C)."""
        return torch.cat(self._kept)

    def groups(self) -> Tensor:
        """Return the number of the group of each vector, in the order in which groups came, (N,)."""
        return torch.cat(self._groups)


def k_centre(vectors: Tensor, members: Tensor, count: int, label: str) -> Tensor:
    """Return `count` of the vectors for each of several subsets; each is the one farthest from those before it.

    Greedy k-centre (Gonzalez, 1985) by cosine distance. The first vector of a subset is its first prototype, so the
    same vectors give the same prototypes. If a subset has fewer vectors than `count`, some are repeated, which changes
    no distance. Reading the vectors takes most of the time, so they are read once for all subsets.

    Args:
        vectors: Unit vectors, (N, C) float32.
        members: Whether each vector is in each subset, (S, N) bool; no subset is empty.
        count: Number of prototypes for each subset.
        label: Name of the task in progress messages.

    Returns:
        (S, count, C), in the order in which they were chosen: the first k are the result for `count` = k.
    """
    last = members.int().argmax(1)
    chosen = [last]
    columns = vectors.T.contiguous()
    nearest = (1 - vectors[last] @ columns).masked_fill_(~members, -1)
    steps = min(count, len(vectors)) - 1
    for _ in tracked(range(steps), steps, label, "prototypes"):
        last = nearest.argmax(1)
        chosen.append(last)
        torch.minimum(nearest, 1 - vectors[last] @ columns, out=nearest)
    chosen += [chosen[0]] * (count - len(chosen))
    return vectors[torch.stack(chosen, 1)]
