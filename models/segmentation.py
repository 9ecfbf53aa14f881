from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_inspect.models.blocks import BlockStyle, ResidualBlock
from edge_inspect.models.pyramid import conv_bn_relu

DILATIONS = (1, 2, 4)
REDUCTION = 8
FOREGROUND_BIAS = -4.0


class MultiPerceptionHead(nn.Module):
    """DMDD's multi-perception segmentation head: it turns distance maps of all scales and branches into logits.

    Several attentions steer how the maps are fused: over the maps themselves, over channels and over positions (CBAM,
    arXiv 1807.06521). The paper says that there are several, but not which (reconstructed; docs/methods.md).

    Args:
        maps: Number of input maps.
        width: Number of channels inside.
    """

    def __init__(self, maps: int, width: int) -> None:
        super().__init__()
        relu = nn.ReLU(inplace=True)
        self.trust = nn.Sequential(nn.Linear(2 * maps, 4 * maps), relu, nn.Linear(4 * maps, maps), nn.Sigmoid())
        self.stem = conv_bn_relu(maps, width, 3)
        half = width // 2
        self.perceptions = nn.ModuleList(
            [
                conv_bn_relu(width, half, 1),
                *(
                    nn.Sequential(
                        nn.Conv2d(width, half, 3, padding=d, dilation=d, bias=False), nn.BatchNorm2d(half), relu
                    )
                    for d in DILATIONS
                ),
            ]
        )
        self.channels = nn.Sequential(
            nn.Linear(2 * width, 2 * width // REDUCTION), relu, nn.Linear(2 * width // REDUCTION, 2 * width)
        )
        self.positions = nn.Conv2d(2, 1, 7, padding=3)
        last = nn.Conv2d(width, 1, 1)
        assert last.bias is not None
        nn.init.constant_(last.bias, FOREGROUND_BIAS)
        self.decide = nn.Sequential(conv_bn_relu(2 * width, width, 3), ResidualBlock(width, width, BlockStyle()), last)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (N, maps, H, W) to logits (N, 1, H, W)."""
        trusted = maps * self.trust(torch.cat([_mean(maps), _largest(maps)], 1))[:, :, None, None]
        x = self.stem(trusted)
        x = torch.cat([perception(x) for perception in self.perceptions], 1)
        x = x * torch.sigmoid(self.channels(_mean(x)) + self.channels(_largest(x)))[:, :, None, None]
        place = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        logits: Tensor = self.decide(x * torch.sigmoid(self.positions(place)))
        return logits


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def _largest(x: Tensor) -> Tensor:
    return x.amax((2, 3))
