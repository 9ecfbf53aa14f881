"""ResNet up to layer3 (He et al., Deep residual learning, 2016; Zagoruyko and Komodakis, Wide residual networks, 2016).

Tensors have torchvision's names, which are timm's too, so weight files of either fit.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.models.blocks import BlockStyle

_STEM = 64
_BOTTLENECK = 64, 128, 256
"""Channels inside the bottlenecks of layer1 to layer3 in ResNet-50; their outputs have four times as many."""


@dataclass(frozen=True)
class Shape:
    """The shape of a ResNet.

    Attributes:
        counts: Blocks in layer1 to layer4.
        inner: Channels inside the bottlenecks of layer1 to layer3; `None` if the blocks are basic.
        channels: Channels that layer1 to layer3 give.
    """

    counts: tuple[int, int, int, int]
    inner: tuple[int, int, int] | None = _BOTTLENECK
    channels: tuple[int, int, int] = (256, 512, 1024)


SHAPES = {
    "embedded": Shape((2, 2, 2, 2), None, (32, 64, 128)),
    "resnet18": Shape((2, 2, 2, 2), None, (64, 128, 256)),
    "resnet34": Shape((3, 4, 6, 3), None, (64, 128, 256)),
    "resnet50": Shape((3, 4, 6, 3)),
    "resnet101": Shape((3, 4, 23, 3)),
    "resnet152": Shape((3, 8, 36, 3)),
    "wide_resnet50_2": Shape((3, 4, 6, 3), (128, 256, 512)),
    "wide_resnet101_2": Shape((3, 4, 23, 3), (128, 256, 512)),
}
"""Shapes by timm's names; `embedded` is ResNet-18 whose blocks have half the channels."""


class ResNet(nn.Module):
    """The features of layer1 to layer3, post-ReLU, at strides 4, 8 and 16; layer4 is not built.

    Attributes:
        channels: Number of channels of the three scales.
        style: Style of the blocks.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.channels = shape.channels
        self.conv1 = nn.Conv2d(3, _STEM, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        inputs, inner = _STEM, shape.inner or (None, None, None)
        layers = []
        for outputs, inside, count, stride in zip(shape.channels, inner, shape.counts, (1, 2, 2), strict=False):
            first, others = _block(inputs, outputs, inside, stride), range(1, count)
            layers.append(nn.Sequential(first, *(_block(outputs, outputs, inside, 1) for _ in others)))
            inputs = outputs
        self.layer1, self.layer2, self.layer3 = layers
        if shape.inner is None:
            self.style = BlockStyle("basic", 1.0, shape.counts)
        else:
            self.style = BlockStyle("bottleneck", shape.inner[0] / shape.channels[0], shape.counts)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W), normalised as ImageNet, to three maps (N, c_k, H / stride_k, W / stride_k)."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(image)), inplace=True), 3, 2, padding=1)
        one = self.layer1(x)
        two = self.layer2(one)
        return [one, two, self.layer3(two)]


def _block(inputs: int, outputs: int, inner: int | None, stride: int) -> nn.Module:
    return _Basic(inputs, outputs, stride) if inner is None else _Bottleneck(inputs, outputs, inner, stride)


def _downsample(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class _Basic(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = _downsample(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self.bn2(self.conv2(x))
        return functional.relu(x + shortcut, inplace=True)


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, inner: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _downsample(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = functional.relu(self.bn2(self.conv2(x)), inplace=True)
        x = self.bn3(self.conv3(x))
        return functional.relu(x + shortcut, inplace=True)
