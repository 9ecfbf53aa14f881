from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

SHARE = 0.3


def mask_pyramid(masks: Tensor, features: Sequence[Tensor], share: float = SHARE) -> list[Tensor]:
    """Reduce masks to the sizes of feature maps: a position is marked if more than `share` of its area is marked.

    A share below one half keeps thin defects at the coarse scales (AAND's code; docs/methods.md, "AAND").

    Args:
        masks: Masks, (N, 1, H, W), 0 or 1.
        features: Features of each scale, (N, C_k, H_k, W_k), which give the sizes.
        share: Share of a position's area, in [0, 1).

    Returns:
        A mask for each scale, (N, 1, H_k, W_k) float32, 0 or 1.
    """
    sizes = [(f.shape[-2], f.shape[-1]) for f in features]
    return [(functional.adaptive_avg_pool2d(masks.float(), size) > share).float() for size in sizes]
