from __future__ import annotations

from torch import Tensor, nn

from models.blocks import BlockStyle, initialise, stage


class ReverseDecoder(nn.Module):
    """The student of reverse distillation: the teacher's layout mirrored, from the embedding back to its three scales.

    It never sees the image. Source: RD4AD, arXiv 2201.10703, and its code (METHODS.md 1.b).

    Args:
        channels: Channels of the teacher's three scales (strides 4, 8, 16).
        style: The teacher's residual blocks.
        signed: The teacher's features may be negative. A stage ends in a ReLU, whose cosine with such features could
            not come near 1; so a 1x1 convolution of each stage is compared instead (ours, not in the paper).
    """

    def __init__(self, channels: tuple[int, int, int], style: BlockStyle, signed: bool = False) -> None:
        super().__init__()
        c1, c2, c3 = channels
        self.stage3 = stage(2 * c3, c3, style.counts[0], style, "double")
        self.stage2 = stage(c3, c2, style.counts[1], style, "double")
        self.stage1 = stage(c2, c1, style.counts[2], style, "double")
        heads = (nn.Conv2d(c, c, 1) if signed else nn.Identity() for c in channels)
        self.heads = nn.ModuleList(heads)
        initialise(self)

    def forward(self, embedding: Tensor) -> list[Tensor]:
        """(N, 2 c3, H3 / 2, W3 / 2) to the student's features, in the teacher's shapes and order (stride 4 first)."""
        s3 = self.stage3(embedding)
        s2 = self.stage2(s3)
        return [head(s) for head, s in zip(self.heads, (self.stage1(s2), s2, s3), strict=True)]
