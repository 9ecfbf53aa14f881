"""Residual blocks of the teacher's family, plain and upsampling, of which bottleneck and decoder are built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn


@dataclass(frozen=True)
class BlockStyle:
    """The style of a teacher's residual blocks, so that its student can be built of the same.

    Attributes:
        kind: `basic` (two 3x3 convolutions) or `bottleneck` (1x1, 3x3, 1x1).
        inner: Width of a bottleneck's 3x3 convolution as a share of the block's output (1/4 in ResNet-50, 1/2 in
            WideResNet-50-2). A basic block is as wide inside as its output.
        counts: Blocks in the teacher's layer1 to layer4. The decoder's stages take the first three in that order, the
            one-class embedding takes the last (RD4AD, official code).
    """

    kind: Literal["basic", "bottleneck"] = "basic"
    inner: float = 1.0
    counts: tuple[int, int, int, int] = (2, 2, 2, 2)


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return a bias-free convolution that keeps the size (divided by `stride`), and its BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


def deconv_bn(inputs: int, outputs: int) -> nn.Sequential:
    """Return a bias-free 2x2 transposed convolution of stride 2, which doubles the size, and its BatchNorm."""
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False), nn.BatchNorm2d(outputs))


class ResidualBlock(nn.Module):
    """A residual block: `relu(body(x) + shortcut(x))`.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        style: Basic or bottleneck.
        resize: `same`; `half` (stride 2, projected shortcut); or `double`, in which a 2x2 transposed convolution takes
            the place of the 3x3 one and is the shortcut, as in RD4AD's decoder.
    """

    def __init__(
        self, inputs: int, outputs: int, style: BlockStyle, resize: Literal["same", "half", "double"] = "same"
    ) -> None:
        super().__init__()
        stride = 2 if resize == "half" else 1
        relu = nn.ReLU(inplace=True)
        if style.kind == "basic":
            first = deconv_bn(inputs, outputs) if resize == "double" else conv_bn(inputs, outputs, 3, stride)
            self.body = nn.Sequential(first, relu, conv_bn(outputs, outputs, 3))
        else:
            inner = round(outputs * style.inner)
            middle = deconv_bn(inner, inner) if resize == "double" else conv_bn(inner, inner, 3, stride)
            self.body = nn.Sequential(conv_bn(inputs, inner, 1), relu, middle, relu, conv_bn(inner, outputs, 1))
        self.shortcut: nn.Module
        if resize == "double":
            self.shortcut = deconv_bn(inputs, outputs)
        elif resize == "half" or inputs != outputs:
            self.shortcut = conv_bn(inputs, outputs, 1, stride)
        else:
            self.shortcut = nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H', W'), post-ReLU."""
        return self.relu(self.body(x) + self.shortcut(x))


def stage(
    inputs: int, outputs: int, count: int, style: BlockStyle, resize: Literal["same", "half", "double"]
) -> nn.Sequential:
    """Return `count` residual blocks, the first of which resizes."""
    first = ResidualBlock(inputs, outputs, style, resize)
    return nn.Sequential(first, *(ResidualBlock(outputs, outputs, style) for _ in range(count - 1)))


def initialise(module: nn.Module) -> None:
    """Initialise convolutions by Kaiming normal (fan-out), as in RD4AD's and AAND's code.

    As there, transposed convolutions and the biases of the others keep the framework's default.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
