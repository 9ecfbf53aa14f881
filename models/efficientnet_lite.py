"""EfficientNet-Lite up to stride 16 (Tan and Le, EfficientNet, 2019; Google's Lite, 2020): ReLU6, no squeeze-excite.

Tensors have timm's names and order, and convolutions of stride 2 have TensorFlow's padding, as Google trained them.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.models.blocks import BlockStyle

_STEM = 32
_STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3))
"""For each stage up to stride 16: expansion, kernel, stride, channels and blocks of Lite0."""
_LAST = (1, 2, 4)
"""The last stage of each of the strides 4, 8 and 16."""

SCALES = {
    "tf_efficientnet_lite0": (1.0, 1.0),
    "tf_efficientnet_lite1": (1.0, 1.1),
    "tf_efficientnet_lite2": (1.1, 1.2),
    "tf_efficientnet_lite3": (1.2, 1.4),
    "tf_efficientnet_lite4": (1.4, 1.8),
}
"""By timm's names, how many times as many channels and blocks a network has as Lite0."""


class EfficientNetLite(nn.Module):
    """The last feature map of each of the strides 4, 8 and 16, linear; later stages are not built.

    Args:
        wide: How many times as many channels it has as Lite0.
        deep: How many times as many blocks.

    Attributes:
        channels: Number of channels of the three scales.
        style: Style of a student's residual blocks: ResNet-18's, because a decoder is built of no inverted residuals.
    """

    def __init__(self, wide: float, deep: float) -> None:
        super().__init__()
        self.style = BlockStyle()
        self.conv_stem = _convolution(3, _STEM, 3, 2)
        self.bn1 = _norm(_STEM)
        inputs, stages = _STEM, []
        for number, (expansion, kernel, stride, channels, count) in enumerate(_STAGES):
            outputs = _rounded(wide * channels)
            blocks = []
            # The first stage is never deepened.
            for block in range(math.ceil(deep * count) if number else count):
                shape = inputs, outputs, kernel, 1 if block else stride
                blocks.append(_Separable(*shape) if expansion == 1 else _Inverted(*shape, expansion))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        one, two, three = (_rounded(wide * _STAGES[number][3]) for number in _LAST)
        self.channels = one, two, three

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W), normalised as ImageNet, to three maps (N, c_k, H / stride_k, W / stride_k)."""
        x = functional.relu6(self.bn1(self.conv_stem(image)), inplace=True)
        features = []
        for number, stage in enumerate(self.blocks):
            x = stage(x)
            if number in _LAST:
                features.append(x)
        return features


class _Separable(nn.Module):
    """A depthwise and a pointwise convolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = _convolution(inputs, inputs, kernel, stride, groups=inputs)
        self.bn1 = _norm(inputs)
        self.conv_pw = _convolution(inputs, outputs, 1)
        self.bn2 = _norm(outputs)
        self._adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self.bn1(self.conv_dw(x)), inplace=True)
        y = self.bn2(self.conv_pw(y))
        return y + x if self._adds else y


class _Inverted(nn.Module):
    """An inverted residual: a pointwise convolution that expands, a depthwise one, and one that projects."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = expansion * inputs
        self.conv_pw = _convolution(inputs, inner, 1)
        self.bn1 = _norm(inner)
        self.conv_dw = _convolution(inner, inner, kernel, stride, groups=inner)
        self.bn2 = _norm(inner)
        self.conv_pwl = _convolution(inner, outputs, 1)
        self.bn3 = _norm(outputs)
        self._adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self.bn1(self.conv_pw(x)), inplace=True)
        y = functional.relu6(self.bn2(self.conv_dw(y)), inplace=True)
        y = self.bn3(self.conv_pwl(y))
        return y + x if self._adds else y


class _SamePadded(nn.Conv2d):
    """A convolution with TensorFlow's `SAME` padding, which depends on the picture's size."""

    def forward(self, input: Tensor) -> Tensor:
        (down, across), (height, width) = self.stride, input.shape[-2:]
        y, x = (
            max((math.ceil(side / step) - 1) * step + kernel - side, 0)
            for side, step, kernel in zip((height, width), (down, across), self.kernel_size, strict=True)
        )
        return super().forward(functional.pad(input, [x // 2, x - x // 2, y // 2, y - y // 2]))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride > 1:
        return _SamePadded(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def _rounded(channels: float) -> int:
    """Return the nearest multiple of 8, or the next if that is less than nine tenths."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
