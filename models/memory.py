"""The memory of good parts: prototypes of the teacher's features, and how far a picture is from the nearest prototype.

    f(p) = [avg3(T_2)(p), up(avg3(T_3))(p)]                 strides 8 and 16, each averaged over 3x3 positions
    u(p) = n(f(p)) / |n(f(p))|                              n: no change, or (channel - its mean) / its spread
    d(p) = 1 - max_k u(p) . P_k                             P_k: unit vectors, chosen among those of good parts
    map  = sum over both banks of d / spread
    map' = (map - mean(p)) scale(p)                         relative to what is usual at p, if parts lie still
    beside a student: map' / its spread + the student's map / its spread

The method belongs to PatchCore's family (Roth et al., Towards Total Recall in Industrial Anomaly Detection, arXiv
2106.08265): two middle scales, local averages, prototypes by greedy k-centre. Distances are cosines here, not
Euclidean. So the search for the nearest prototype is a 1x1 convolution and a maximum over channels, which every engine
runs and quantizes. There are two banks, one of features as they are and one of standardised channels. Each is better on
some parts, and their sum was better than either on synthetic flaws. If parts lie still, edges and prints are a little
unlike the nearest prototype in every picture, and they vary more than smooth faces do. So the usual distance at each
position is subtracted, and the rest is divided by how much good parts vary there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.models.discrepancy import EPSILON, upsample
from edge_inspect.models.network import Network
from edge_inspect.models.teacher import STRIDES, Teacher

PROTOTYPES = 1000
"""Default number of prototypes in each of the two banks."""

SCALES = (1, 2)
"""Indices of the teacher's scales that are used: strides 8 and 16."""
MAP_STRIDE = STRIDES[SCALES[0]]
"""Stride of the memory's map."""


def map_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width of the memory's map for pictures of that size in pixels."""
    return height // MAP_STRIDE, width // MAP_STRIDE


def local_features(features: Sequence[Tensor]) -> Tensor:
    """Return the features that a memory compares: (N, c_2 + c_3, H / 8, W / 8), of the teacher's (N, c_k, H_k, W_k)."""
    fine, coarse = (functional.avg_pool2d(features[k].float(), 3, 1, 1, count_include_pad=False) for k in SCALES)
    coarse = functional.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat([fine, coarse], 1)


class Bank(nn.Module):
    """Prototypes of good features.

    Args:
        channels: Number of channels of the features.
        size: Number of prototypes. Until they are set, all are zero and every distance is 1.

    Attributes:
        mean: Value subtracted from each channel, (C,).
        scale: Factor by which each channel is then multiplied, (C,).
        prototypes: Unit vectors, (K, C).
        spread: Spread of the distances of good parts; maps are divided by it.
    """

    mean: Tensor
    scale: Tensor
    prototypes: Tensor
    spread: Tensor

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("prototypes", torch.zeros(size, channels))
        self.register_buffer("spread", torch.ones(()))

    def directions(self, features: Tensor) -> Tensor:
        """Return the unit vectors of features; both are (N, C, H, W)."""
        return functional.normalize((features - self.mean[:, None, None]) * self.scale[:, None, None], eps=EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        """Return the distances of features, (N, C, H, W), from the nearest prototype, (N, 1, H, W), over `spread`."""
        similar = functional.conv2d(self.directions(features), self.prototypes[:, :, None, None])
        return (1 - similar.amax(1, keepdim=True)) / self.spread


class Banks(nn.Module):
    """The memory: one bank of features as they are, and one of standardised channels.

    Args:
        teacher: Teacher whose features are compared.
        prototypes: Number of prototypes in each bank.
    """

    def __init__(self, teacher: Teacher, prototypes: int) -> None:
        super().__init__()
        channels = sum(teacher.channels[k] for k in SCALES)
        self.plain = Bank(channels, prototypes)
        self.standardised = Bank(channels, prototypes)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map teacher features, (N, c_k, H_k, W_k), to the sum of both banks' distances, (N, 1, H / 8, W / 8)."""
        local = local_features(features)
        return self.plain(local) + self.standardised(local)


class Usual(nn.Module):
    """The usual value of a good part's map at each position. Until it is set, it changes nothing.

    Args:
        grid: Height and width of the map.

    Attributes:
        mean: Value subtracted from the map, (1, 1, h, w).
        scale: Factor by which the rest is multiplied, (1, 1, h, w).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, grid: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 1, *grid))
        self.register_buffer("scale", torch.ones(1, 1, *grid))

    def forward(self, maps: Tensor) -> Tensor:
        """Return how unusual maps are at each position; both are (N, 1, h, w)."""
        return (maps - self.mean) * self.scale


class Memory(Network):
    """A frozen teacher and a memory. Nothing is trained, and a few good pictures are enough.

    Args:
        teacher: The frozen teacher.
        prototypes: Number of prototypes in each of the two banks.
        grid: Height and width of the map, if each position is judged relative to its usual value. All pictures must
            then have the same size.
    """

    name = "memory"
    gives_map = True

    def __init__(self, teacher: Teacher, prototypes: int, grid: Sequence[int] | None = None) -> None:
        super().__init__()
        self.teacher = teacher
        self.banks = Banks(teacher, prototypes)
        self.usual = nn.Identity() if grid is None else Usual(grid)

    def map_of(self, image: Tensor, features: list[Tensor]) -> Tensor:
        """Map teacher features (N, c_k, H_k, W_k) to the distances, (N, 1, H / 8, W / 8)."""
        return self.usual(self.banks(features))


class Remembering(Network):
    """A system's network with a memory beside it. Their maps are added, each divided by its spread on good pictures.

    Args:
        network: Network of the system; the memory uses its teacher too.
        prototypes: Number of prototypes in each of the memory's two banks.
        grid: Height and width of the memory's map, if each position is judged relative to its usual value. All pictures
            must then have the same size.

    Attributes:
        network: Network of the system.
        banks: The memory.
        usual: Usual value of the memory's map at each position, or the identity.
        weights: Factors of the network's map and the memory's, (2,): one over the spread of each.
    """

    gives_map = True
    weights: Tensor

    def __init__(self, network: Network, prototypes: int, grid: Sequence[int] | None = None) -> None:
        super().__init__()
        self.name = network.name
        self.network = network
        self.banks = Banks(network.teacher, prototypes)
        self.usual = nn.Identity() if grid is None else Usual(grid)
        self.register_buffer("weights", torch.ones(2))

    @property
    def teacher(self) -> Teacher:  # type: ignore[override]  # as an attribute its weights would be saved twice
        """The frozen teacher, which belongs to the network."""
        return self.network.teacher

    def maps(self, image: Tensor, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the network's map and the memory's, not yet weighted; both are (N, 1, h, w), sized like the former."""
        own = self.network.map_of(image, features).float()
        return own, upsample(self.usual(self.banks(features)), own.shape[-2:])

    def map_of(self, image: Tensor, features: list[Tensor]) -> Tensor:
        """Map teacher features (N, c_k, H_k, W_k) to the sum of both maps, (N, 1, h, w)."""
        own, remembered = self.maps(image, features)
        return own * self.weights[0] + remembered * self.weights[1]
