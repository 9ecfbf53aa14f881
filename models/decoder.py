from __future__ import annotations

from torch import Tensor, nn

from edge_inspect.models.blocks import BlockStyle, initialise, stage
from edge_inspect.models.width import StudentWidth, inner_channels


class ReverseDecoder(nn.Module):
    """The student of reverse distillation: it mirrors the teacher's layout, from the embedding back to three scales.

    It never sees the image. Source: RD4AD, arXiv 2201.10703, and its code (docs/methods.md, "RD4AD").

    Args:
        channels: Channels of the teacher's three scales (strides 4, 8, 16).
        style: The teacher's residual blocks.
        signed: Whether the teacher's features may be negative. A stage ends in a ReLU, and the cosine of its output
            with such features could not come near 1. So the output of a 1x1 convolution behind each stage is compared
            instead (ours, not in the paper).
        width: `half` halves the channels of the stages; a 1x1 convolution behind each stage then restores the
            teacher's number of channels (ours, not in the paper).
    """

    def __init__(
        self, channels: tuple[int, int, int], style: BlockStyle, signed: bool = False, width: StudentWidth = "full"
    ) -> None:
        super().__init__()
        i1, i2, i3 = inner = inner_channels(channels, width)
        self.stage3 = stage(2 * i3, i3, style.counts[0], style, "double")
        self.stage2 = stage(i3, i2, style.counts[1], style, "double")
        self.stage1 = stage(i2, i1, style.counts[2], style, "double")
        project = signed or width != "full"
        heads = (_head(i, c, signed) if project else nn.Identity() for i, c in zip(inner, channels, strict=True))
        self.heads = nn.ModuleList(heads)
        initialise(self)

    def forward(self, embedding: Tensor) -> list[Tensor]:
        """Return the student's features for `OCBE`'s embedding, in the teacher's shapes and order (stride 4 first)."""
        s3 = self.stage3(embedding)
        s2 = self.stage2(s3)
        return [head(s) for head, s in zip(self.heads, (self.stage1(s2), s2, s3), strict=True)]


def _head(inner: int, outer: int, signed: bool) -> nn.Module:
    """Return a 1x1 convolution, followed by a ReLU if the teacher's features end in one too."""
    convolution = nn.Conv2d(inner, outer, 1)
    return convolution if signed else nn.Sequential(convolution, nn.ReLU(inplace=True))
