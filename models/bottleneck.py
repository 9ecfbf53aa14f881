from __future__ import annotations

import torch
from torch import Tensor, nn

from models.blocks import BlockStyle, conv_bn, initialise, stage


class OCBE(nn.Module):
    """One-class bottleneck embedding: multi-scale feature fusion (MFF), then one-class embedding (OCE).

    MFF brings the teacher's first two scales to the third's size and concatenates the three; OCE is one more stage of
    the teacher's family, at half that size. Source: RD4AD, arXiv 2201.10703, section 3.3, and its code (METHODS.md
    1.b), without the 1x1 convolution that the released module owns and never calls.

    Args:
        channels: Channels of the teacher's three scales (strides 4, 8, 16).
        style: The teacher's residual blocks.
    """

    def __init__(self, channels: tuple[int, int, int], style: BlockStyle) -> None:
        super().__init__()
        c1, c2, c3 = channels
        relu = nn.ReLU(inplace=True)
        self.fuse1 = nn.Sequential(conv_bn(c1, c2, 3, 2), relu, conv_bn(c2, c3, 3, 2), relu)
        self.fuse2 = nn.Sequential(conv_bn(c2, c3, 3, 2), relu)
        self.embed = stage(3 * c3, 2 * c3, style.counts[3], style, "half")
        initialise(self)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Teacher features (N, c_k, H_k, W_k) to the embedding (N, 2 c3, H3 / 2, W3 / 2), post-ReLU."""
        t1, t2, t3 = features
        return self.embed(torch.cat([self.fuse1(t1), self.fuse2(t2), t3], 1))
