"""The memory of good parts: prototypes of the teacher's features, and how far a picture is from the nearest one.

    f(p) = [avg3(T_2)(p), up(avg3(T_3))(p)]                 strides 8 and 16, each averaged over 3x3 positions
    u(p) = n(f(p)) / |n(f(p))|                              n: as it is, or each channel less its mean, by its spread
    d(p) = 1 - max_k u(p) . P_k                             P_k: unit vectors, chosen among those of good parts
    map  = sum over both banks of d / spread
    map' = (map - mean(p)) scale(p)                         what is usual at each position, where parts lie still
    beside a student: map' / its spread + the student's map / its spread

The family is PatchCore's (Roth et al., Towards Total Recall in Industrial Anomaly Detection, arXiv 2106.08265): two
middle scales, local averages, prototypes by greedy k-centre. Distances are cosines here and not Euclidean, so that the
nearest prototype is a 1x1 convolution and a maximum over channels: a weight tensor, which every engine runs and
quantizes. Two banks, one of features as they are and one of standardised channels: each is better on some parts, and
their sum was better than either on synthetic flaws. Of parts that lie still, edges and prints are a little unlike the
nearest prototype in every picture, and differ more than smooth faces do. What is usual at a position is therefore taken
off, and what is left is in units of what good parts differ by there.
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
"""How many each of the two banks keeps where nobody says."""

SCALES = (1, 2)
"""Of the teacher's three: strides 8 and 16."""
MAP_STRIDE = STRIDES[SCALES[0]]
"""Of the memory's map."""


def map_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width of the memory's map of pictures of that size, in pixels."""
    return height // MAP_STRIDE, width // MAP_STRIDE


def local_features(features: Sequence[Tensor]) -> Tensor:
    """Return what a memory compares: the teacher's features, (N, c_k, H_k, W_k), to (N, c_2 + c_3, H / 8, W / 8)."""
    fine, coarse = (functional.avg_pool2d(features[k].float(), 3, 1, 1, count_include_pad=False) for k in SCALES)
    coarse = functional.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat([fine, coarse], 1)


class Bank(nn.Module):
    """Prototypes of good features.

    Args:
        channels: Of the features.
        size: How many prototypes; before they are set, all are zero and every distance is 1.

    Attributes:
        mean: Of each channel, taken off first, (C,).
        scale: What each channel is multiplied by then, (C,).
        prototypes: Unit vectors, (K, C).
        spread: How much the distances of good parts differ; a map is in units of it.
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
        """Return the unit vectors of features, (N, C, H, W) both."""
        return functional.normalize((features - self.mean[:, None, None]) * self.scale[:, None, None], eps=EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        """Return how far features, (N, C, H, W), are from the nearest prototype, (N, 1, H, W), in units of `spread`."""
        similar = functional.conv2d(self.directions(features), self.prototypes[:, :, None, None])
        return (1 - similar.amax(1, keepdim=True)) / self.spread


class Banks(nn.Module):
    """The memory: one bank of features as they are, and one of standardised channels.

    Args:
        teacher: Whose features they are.
        prototypes: How many each bank keeps.
    """

    def __init__(self, teacher: Teacher, prototypes: int) -> None:
        super().__init__()
        channels = sum(teacher.channels[k] for k in SCALES)
        self.plain = Bank(channels, prototypes)
        self.standardised = Bank(channels, prototypes)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Teacher features, (N, c_k, H_k, W_k), to the sum of both banks' distances, (N, 1, H / 8, W / 8)."""
        local = local_features(features)
        return self.plain(local) + self.standardised(local)


class Usual(nn.Module):
    """What a map of good parts usually is at each position; before it is set, it changes nothing.

    Args:
        grid: Height and width of the map.

    Attributes:
        mean: Taken off the map, (1, 1, h, w).
        scale: What the rest is multiplied by, (1, 1, h, w).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, grid: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 1, *grid))
        self.register_buffer("scale", torch.ones(1, 1, *grid))

    def forward(self, maps: Tensor) -> Tensor:
        """Return how unusual maps are at each position, (N, 1, h, w) both."""
        return (maps - self.mean) * self.scale


class Memory(Network):
    """A frozen teacher and a memory: nothing is trained, and a few good pictures will do.

    Args:
        teacher: The frozen teacher.
        prototypes: How many each of the two banks keeps.
        grid: Height and width of the map where it is judged by what is usual at each position. All pictures then have
            one size.
    """

    name = "memory"
    gives_map = True

    def __init__(self, teacher: Teacher, prototypes: int, grid: Sequence[int] | None = None) -> None:
        super().__init__()
        self.teacher = teacher
        self.banks = Banks(teacher, prototypes)
        self.usual = nn.Identity() if grid is None else Usual(grid)

    def map_of(self, image: Tensor, features: list[Tensor]) -> Tensor:
        """Teacher features (N, c_k, H_k, W_k) to the distances, (N, 1, H / 8, W / 8)."""
        return self.usual(self.banks(features))


class Remembering(Network):
    """A system's network and a memory beside it; their maps are added, each in units of its spread on good pictures.

    Args:
        network: That of the system; its teacher is the memory's too.
        prototypes: How many each of the memory's two banks keeps.
        grid: Height and width of the memory's map where it is judged by what is usual at each position. All pictures
            then have one size.

    Attributes:
        network: That of the system.
        banks: The memory.
        usual: What the memory's map is judged by.
        weights: What the network's map and the memory's are multiplied by, (2,): one by the spread of each.
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
        """The frozen teacher, which is the network's."""
        return self.network.teacher

    def maps(self, image: Tensor, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the network's map and the memory's, not yet weighed, (N, 1, h, w) in the plane of the former."""
        own = self.network.map_of(image, features).float()
        return own, upsample(self.usual(self.banks(features)), own.shape[-2:])

    def map_of(self, image: Tensor, features: list[Tensor]) -> Tensor:
        """Teacher features (N, c_k, H_k, W_k) to the sum of both maps, (N, 1, h, w)."""
        own, remembered = self.maps(image, features)
        return own * self.weights[0] + remembered * self.weights[1]
