"""The discrepancy mathematics in plain torch; every faster form (graph, CUDA kernel) is tested against it.

    d_k(p) = 1 - cos(S_k(p), T_k(p))                        per scale and position, over channels
    A      = G_sigma( sum_k up(d_k) )                       up: bilinear, align_corners; G: sigma 4, reflected borders
    score  = max A, or the mean of its top k pixels

Source: RD4AD, arXiv 2201.10703, and its code (docs/methods.md, "Maps and scores").
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-8
SIGMA = 4.0
TRUNCATE = 4.0


def cosine_distance(teacher: Tensor, student: Tensor) -> Tensor:
    """Return `1 - cos` over channels: two (N, C, H, W) to (N, 1, H, W) in [0, 2]; 1 where a vector is zero."""
    t, s = teacher.float(), student.float()
    norms = [torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=EPSILON) for x in (t, s)]
    # The division comes last: normalising the features first would write them to memory once more.
    return 1 - (t * s).sum(1, keepdim=True) / (norms[0] * norms[1])


def gaussian_kernel(sigma: float = SIGMA) -> Tensor:
    """Return the normalised 1-D Gaussian, cut at 4 sigma as scipy does: (2 * int(4 sigma + 0.5) + 1,) float32."""
    radius = int(TRUNCATE * sigma + 0.5)
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    return (kernel / kernel.sum()).float()


def gaussian_blur(maps: Tensor, sigma: float = SIGMA) -> Tensor:
    """Blur (N, 1, H, W) by a separable Gaussian; borders mirror the edge pixel too, as in scipy's `reflect`."""
    kernel = gaussian_kernel(sigma).to(maps)
    radius = len(kernel) // 2
    rows = _mirrored(maps.shape[-2], radius, maps.device)
    columns = _mirrored(maps.shape[-1], radius, maps.device)
    padded = maps[:, :, rows][:, :, :, columns]
    return functional.conv2d(functional.conv2d(padded, kernel[None, None, :, None]), kernel[None, None, None, :])


def _mirrored(size: int, radius: int, device: torch.device) -> Tensor:
    """Return indices -radius .. size + radius - 1 folded back into the image: d c b a | a b c d | d c b a."""
    index = torch.arange(-radius, size + radius, device=device) % (2 * size)
    return torch.where(index < size, index, 2 * size - 1 - index)


def upsample(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Upsample bilinearly with aligned corners, (N, 1, h, w) to (N, 1, H, W)."""
    if maps.shape[-2:] == size:
        return maps
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=True)


def anomaly_map(
    teacher: Sequence[Tensor], student: Sequence[Tensor], size: Sequence[int], sigma: float = SIGMA
) -> Tensor:
    """Return the anomaly map A from the features of all scales, (N, 1, H, W) float32; `size` is (H, W)."""
    total = sum(upsample(cosine_distance(t, s), size) for t, s in zip(teacher, student, strict=True))
    assert isinstance(total, Tensor)
    return gaussian_blur(total, sigma)


def score(maps: Tensor, top: int = 1) -> Tensor:
    """Return image scores, (N,): the mean of the `top` largest pixels of each (N, 1, H, W) map; 1 is the maximum."""
    return maps.flatten(1).topk(top, dim=1).values.mean(1)
