from __future__ import annotations

from torch import Tensor, nn

from models.blocks import BlockStyle, initialise, stage


class ReverseDecoder(nn.Module):
    """The student of reverse distillation: the teacher's layout mirrored, from the embedding back to its three scales.

    It never sees the image. Source: RD4AD, arXiv 2201.10703, and its code (METHODS.md 1.b).

    Args:
        channels: Channels of the teacher's three scales (strides 4, 8, 16).
        style: The teacher's residual blocks.
    """

    def __init__(self, channels: tuple[int, int, int], style: BlockStyle) -> None:
        super().__init__()
        c1, c2, c3 = channels
        self.stage3 = stage(2 * c3, c3, style.counts[0], style, "double")
        self.stage2 = stage(c3, c2, style.counts[1], style, "double")
        self.stage1 = stage(c2, c1, style.counts[2], style, "double")
        initialise(self)

    def forward(self, embedding: Tensor) -> list[Tensor]:
        """(N, 2 c3, H3 / 2, W3 / 2) to the student's features, in the teacher's shapes and order (stride 4 first)."""
        s3 = self.stage3(embedding)
        s2 = self.stage2(s3)
        return [self.stage1(s2), s2, s3]
