from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.models.blocks import conv_bn
from edge_inspect.models.exact import exact

DILATIONS = (1, 2, 3)


def conv_bn_relu(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return a bias-free convolution, BatchNorm and ReLU."""
    return nn.Sequential(*conv_bn(inputs, outputs, kernel, stride), nn.ReLU(inplace=True))


class Depthwise(nn.Conv2d):
    """A depthwise 3x3 convolution that keeps the size; on a processor it runs in float32 even under autocast.

    In bfloat16 and channels last, torch returns uninitialised memory as the gradient of a dilated convolution's weights
    (seen with 2.14.1 on a processor with AMX: NaN or 1e35 in one step of four, from which Adam never recovers).

    Args:
        width: Number of channels.
        dilation: Distance between the taps, in positions.
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__(width, width, 3, padding=dilation, dilation=dilation, groups=width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        with exact(x):
            return super().forward(x.float())


class ReceptiveFields(nn.Module):
    """Depthwise 3x3 convolutions of dilation 1, 2 and 3 side by side, merged and added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fields = nn.ModuleList(
            nn.Sequential(Depthwise(width, dilation), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
            for dilation in DILATIONS
        )
        self.merge = nn.Sequential(conv_bn_relu(len(DILATIONS) * width, width, 1), conv_bn_relu(width, width, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        merged: Tensor = self.merge(torch.cat([field(x) for field in self.fields], 1))
        return merged + x


class PyramidModeling(nn.Module):
    """One branch of DMDD's student: each scale is modelled with the context of the coarser ones.

    The paper has a pyramid modeling network, but does not publish its layers. This is a top-down pyramid with several
    receptive fields at each level, because receptive fields are the paper's argument (reconstructed; docs/methods.md).

    Args:
        channels: Channels of the three scales (strides 4, 8, 16).
        width: Number of channels inside.
    """

    def __init__(self, channels: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(conv_bn_relu(c, width, 1) for c in channels)
        self.top = conv_bn_relu(channels[2], width, 3, 2)
        self.fields = nn.ModuleList(ReceptiveFields(width) for _ in channels)
        self.expand = nn.ModuleList(conv_bn(width, c, 1) for c in channels)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map (N, c_k, H_k, W_k) of each scale to the same shapes, post-ReLU."""
        context: Tensor = self.top(features[2])
        modelled: list[Tensor] = []
        for k in (2, 1, 0):
            size = features[k].shape[-2:]
            context = functional.interpolate(context, size=size, mode="bilinear", align_corners=False)
            context = self.fields[k](self.lateral[k](features[k]) + context)
            modelled.insert(0, functional.relu(features[k] + self.expand[k](context)))
        return modelled
