from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from models.discrepancy import EPSILON


def flattened_cosine(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
    """`sum_k mean_batch [1 - COS(T_k, S_k)]`: one cosine per image and scale over the whole tensor.

    The per-position form of the paper's text does not reach the published figures; this one, of the released code, does
    (METHODS.md 1.c and 1.g.1). In float32 whatever the features' type. Features are (N, C, H, W); the loss is a scalar
    in [0, 2 x scales].
    """
    total = teacher[0].new_zeros((), dtype=teacher[0].float().dtype)
    for t, s in zip(teacher, student, strict=True):
        cosine = functional.cosine_similarity(t.float().flatten(1), s.float().flatten(1), dim=1, eps=EPSILON)
        total = total + (1 - cosine).mean()
    return total
