from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_inspect.models.blocks import BlockStyle, conv_bn, initialise, stage
from edge_inspect.models.width import StudentWidth, inner_channels


class OCBE(nn.Module):
    """One-class bottleneck embedding: multi-scale feature fusion (MFF), then one-class embedding (OCE).

    MFF brings the teacher's first two scales to the third's size and concatenates the three; OCE is one more stage of
    the teacher's family, at half that size. Source: RD4AD, arXiv 2201.10703, section 3.3, and its code, without
    the 1x1 convolution that the released module has but never calls (docs/methods.md, "RD4AD").

    Args:
        channels: Channels of the teacher's three scales (strides 4, 8, 16).
        style: The teacher's residual blocks.
        width: `half` halves the channels inside. A 1x1 convolution then reduces the third scale to half of its
            channels before the three are concatenated (ours, not in the paper).
    """

    def __init__(self, channels: tuple[int, int, int], style: BlockStyle, width: StudentWidth = "full") -> None:
        super().__init__()
        c1, c2, c3 = channels
        _, i2, i3 = inner_channels(channels, width)
        relu = nn.ReLU(inplace=True)
        self.fuse1 = nn.Sequential(conv_bn(c1, i2, 3, 2), relu, conv_bn(i2, i3, 3, 2), relu)
        self.fuse2 = nn.Sequential(conv_bn(c2, i3, 3, 2), relu)
        self.fuse3 = nn.Identity() if width == "full" else nn.Sequential(conv_bn(c3, i3, 1), relu)
        self.embed = stage(3 * i3, 2 * i3, style.counts[3], style, "half")
        initialise(self)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map features (N, c_k, H_k, W_k) to the embedding (N, 2 i3, H3 / 2, W3 / 2), post-ReLU; i3 is c3 or half."""
        t1, t2, t3 = features
        return self.embed(torch.cat([self.fuse1(t1), self.fuse2(t2), self.fuse3(t3)], 1))
