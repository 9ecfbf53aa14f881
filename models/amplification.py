from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.models.blocks import initialise
from edge_inspect.models.discrepancy import EPSILON
from edge_inspect.models.exact import exact

PROTOTYPES = 50
TEMPERATURE = 0.2
WIDEST = 1024


def positional_code(channels: int, height: int, width: int) -> Tensor:
    """Return the fixed 2-D sine-cosine code, (channels, height, width) float32: x in the first channels, then y.

    Within each half, even channels are sines and odd ones cosines, with frequencies exp(-i ln(10000) / (channels / 2)),
    i = 0, 2, ... The code is computed for the given size, so any input size will do.
    """
    half = channels // 2
    frequency = torch.exp(torch.arange(0, half, 2).float() * (-math.log(10000.0) / half))

    def wave(count: int, length: int) -> Tensor:
        angle = frequency[:, None] * torch.arange(length).float()
        return torch.stack([angle.sin(), angle.cos()], 1).flatten(0, 1)[:count]

    across = wave(half, width)[:, None, :].expand(-1, height, -1)
    down = wave(channels - half, height)[:, :, None].expand(-1, -1, width)
    return torch.cat([across, down])


def _stack(channels: int) -> nn.Sequential:
    hidden = min(2 * channels, WIDEST)
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(hidden, hidden, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(hidden, channels, 1),
    )


class ResidualAmplification(nn.Module):
    """Residual anomaly amplification (RAA) of one scale: `A = T + g * tanh(ARG(T)) * T`.

    The matching-guided residual gate (MRG) compares a query of every position with a memory of normal and anomalous
    prototypes. Its softmax mass on the anomalous half has the closed form
    `g = sigmoid(logsumexp(s_anomalous / t) - logsumexp(s_normal / t))`, where s are cosines. The attribute-scaling
    residual generator (ARG) changes each channel by less than the channel's own size, so no sign ever flips. Source:
    AAND, arXiv 2405.02068, and its code (docs/methods.md, "AAND").

    Args:
        channels: Channels of this scale.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = _stack(channels)
        self.memory = nn.Parameter(torch.randn(2 * PROTOTYPES, channels))
        self.generator = _stack(channels)
        initialise(self)

    def gate(self, feature: Tensor) -> Tensor:
        """Return how anomalous each position is: (N, C, H, W) to (N, 1, H, W) in (0, 1), float32.

        Only the query may be computed in fewer bits: in bfloat16, a gate beyond 0.998 becomes 1, where its loss is
        clamped and has no gradient.
        """
        code = positional_code(*feature.shape[1:]).to(feature)
        query = self.query(feature + code)
        with exact(query):
            query = functional.normalize(query.float(), dim=1, eps=EPSILON)
            memory = functional.normalize(self.memory.float(), dim=1, eps=EPSILON)
            # Two convolutions instead of the halves of one, because OpenVINO copies halves.
            normal, anomalous = (
                functional.conv2d(query, half[:, :, None, None]).logsumexp(1, keepdim=True)
                for half in (memory / TEMPERATURE).split(PROTOTYPES)
            )
            return torch.sigmoid(anomalous - normal)

    def forward(self, feature: Tensor, gate: Tensor) -> Tensor:
        """Amplify a teacher feature.

        Args:
            feature: (N, C, H, W), post-ReLU.
            gate: (N, 1, H, W): the predicted gate, or the true mask in the first stage.

        Returns:
            The amplified feature, in the same shape; each channel is between 0 and 2 times its former value.
        """
        return feature + gate.to(feature) * torch.tanh(self.generator(feature)) * feature
