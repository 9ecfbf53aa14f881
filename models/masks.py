from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

SHARE = 0.3


def mask_pyramid(masks: Tensor, features: Sequence[Tensor], share: float = SHARE) -> list[Tensor]:
    """Bring masks to the sizes of feature maps: a position is marked when more than `share` of its area is.

    A share below one half keeps thin defects at the coarse scales (AAND's code; docs/methods.md, "AAND").

    Args:
        masks: (N, 1, H, W), 0 or 1.
        features: (N, C_k, H_k, W_k) of each scale.
        share: In [0, 1).

    Returns:
        (N, 1, H_k, W_k) float32 of each scale, 0 or 1.
    """
    sizes = [(f.shape[-2], f.shape[-1]) for f in features]
    return [(functional.adaptive_avg_pool2d(masks.float(), size) > share).float() for size in sizes]
