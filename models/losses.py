"""The training losses of the three systems. Each is a scalar, computed in float32 whatever the features' type."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from edge_inspect.models.discrepancy import EPSILON, cosine_distance
from edge_inspect.models.exact import exact

HARDEST = 10
MARGIN = 0.3
NORMALS, ANOMALIES = 5000, 1000
CLAMP = 1e-6


def flattened_cosine(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
    """Return `sum_k mean_batch [1 - COS(T_k, S_k)]`: one cosine per image and scale over the whole tensor.

    The per-position form in the paper's text does not reach the published figures; this form, from the released code,
    does (docs/methods.md, "RD4AD"). Features are (N, C, H, W); the loss lies in [0, 2 x scales].
    """
    total = teacher[0].new_zeros((), dtype=teacher[0].float().dtype)
    for t, s in zip(teacher, student, strict=True):
        t, s = t.float(), s.float()
        # torch's own cosine first divides both tensors by their norms, which costs as much as a layer.
        lengths = _squared(t).sqrt().clamp(min=EPSILON) * _squared(s).clamp(min=EPSILON**2).sqrt()
        total = total + (1 - _products(t, s) / lengths).mean()
    return total


def _products(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of each image's two tensors, (N, C, H, W) to (N,)."""
    return (a * b).sum((1, 2, 3))


def _squared(a: Tensor) -> Tensor:
    return _products(a, a)


def hardest_cosine(teacher: Sequence[Tensor], student: Sequence[Tensor], count: int = HARDEST) -> Tensor:
    """Return the hard-knowledge loss: the sum over scales of the mean distance at each image's `count` worst positions.

    Source: AAND, arXiv 2405.02068 (docs/methods.md, "AAND", stage II). Features are (N, C, H, W).
    """
    total = teacher[0].new_zeros((), dtype=teacher[0].float().dtype)
    for t, s in zip(teacher, student, strict=True):
        distance = cosine_distance(t, s).flatten(1)
        total = total + distance.topk(min(count, distance.shape[1]), dim=1).values.mean()
    return total


def focal(probability: Tensor, mask: Tensor, gamma: float = 2.0, alpha: float | None = None) -> Tensor:
    """Return the focal loss on probabilities, the mean over positions (Lin et al., arXiv 1708.02002).

    Args:
        probability: Probability of the marked class, in [0, 1].
        mask: Marked positions, 0 or 1, in the same shape.
        gamma: Focus: the larger it is, the less easy positions count.
        alpha: Weight of the marked class; the other class weighs 1 - alpha. `None` weights both by 1.
    """
    p = probability.float().clamp(CLAMP, 1 - CLAMP)
    marked = (1 - p) ** gamma * mask * p.log()
    other = p**gamma * (1 - mask) * (1 - p).log()
    a, b = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    return -(a * marked + b * other).mean()


def dice(probability: Tensor, mask: Tensor, smooth: float = 1.0) -> Tensor:
    """Return the mean over images of `1 - (2 |P M| + smooth) / (|P| + |M| + smooth)`; both are (N, 1, H, W)."""
    p, m = probability.float().flatten(1), mask.float().flatten(1)
    return (1 - (2 * (p * m).sum(1) + smooth) / (p.sum(1) + m.sum(1) + smooth)).mean()


def amplification(
    vanilla: Tensor, amplified: Tensor, anomalous: Tensor, normal: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Return the loss that pushes amplified anomalous features of a scale away from all vanilla normal ones.

        mean over n normal, a anomalous of max(0, cos(T_n, A_a) - (cos(T_n, T_a) - 0.3))

    So the cosine has to fall by a margin of 0.3. At most 5000 normal and 1000 anomalous positions are drawn from the
    whole batch, and pairs cross images. Only the anomalous side carries gradient. The loss is 0 if either kind is
    missing. Source: AAND's code (docs/methods.md, "AAND").

    Args:
        vanilla: The teacher's feature, (N, C, H, W).
        amplified: The amplified feature, (N, C, H, W).
        anomalous: (N, 1, H, W), 1 at anomalous positions.
        normal: (N, 1, H, W), 1 at normal positions of the foreground.
        generator: Random generator on the CPU that draws the positions.
    """
    rows = vanilla.float().permute(0, 2, 3, 1).flatten(0, 2)
    pushed = amplified.float().permute(0, 2, 3, 1).flatten(0, 2)
    n, a = _drawn(normal, NORMALS, generator), _drawn(anomalous, ANOMALIES, generator)
    if not len(n) or not len(a):
        return pushed.sum() * 0
    reference = functional.normalize(rows[n], dim=1, eps=EPSILON)
    before = functional.normalize(rows[a], dim=1, eps=EPSILON)
    after = functional.normalize(pushed[a], dim=1, eps=EPSILON)
    with exact(rows):  # autocast would multiply in bfloat16
        return functional.relu(reference @ after.T - (reference @ before.T - MARGIN)).mean()


def _drawn(marks: Tensor, most: int, generator: torch.Generator | None) -> Tensor:
    """Draw flat indices of at most `most` marked positions, without replacement."""
    index = marks.flatten().nonzero().squeeze(1)
    if len(index) <= most:
        return index
    return index[torch.randperm(len(index), generator=generator)[:most].to(index.device)]
