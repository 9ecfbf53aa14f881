from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_inspect.models.blocks import conv_bn, initialise
from edge_inspect.models.bottleneck import OCBE
from edge_inspect.models.decoder import ReverseDecoder
from edge_inspect.models.discrepancy import cosine_distance, upsample
from edge_inspect.models.losses import dice, flattened_cosine, focal
from edge_inspect.models.masks import mask_pyramid
from edge_inspect.models.network import Network
from edge_inspect.models.pyramid import PyramidModeling
from edge_inspect.models.segmentation import MultiPerceptionHead
from edge_inspect.models.teacher import Teacher
from edge_inspect.models.width import StudentWidth, inner_channels

Trunk = Literal["reverse", "forward"]
TRUNKS: tuple[str, ...] = get_args(Trunk)
FOCUS = 4.0
DICE_WEIGHT = 0.5


class DecoupledDistillation(Network):
    """DMDD: dual-modeling decouple distillation (arXiv 2408.03888), rebuilt from its description: no code is public.

    Known from the paper: 1x1 convolutions decouple the student's features into normality and abnormality features of
    equal capacity. Normality guidance (NGM) trains the normality feature of a defective image to equal the teacher's
    feature of the good one. Abnormality inverse mimicking (AIM) drives the abnormality feature away from the teacher's
    inside defects. A segmentation head fuses the distance maps. Reconstructed (docs/methods.md, "DMDD"): the trunk, the
    layers of pyramids and head, the hinge of AIM, all weights and the recipe. This is not a reproduction.

    Args:
        teacher: The frozen teacher.
        trunk: `reverse`: bottleneck and decoder, as in RD4AD; `forward`: the teacher's own layout with fresh weights.
        student_width: Channels inside bottleneck, decoder and pyramids: the teacher's, or half of them. A forward trunk
            is always as wide as the teacher.

    Raises:
        ValueError: There is no such trunk or width.
    """

    name = "dmdd"
    gives_map = True

    def __init__(self, teacher: Teacher, trunk: Trunk = "reverse", student_width: StudentWidth = "full") -> None:
        super().__init__()
        if trunk not in TRUNKS:
            raise ValueError(f"trunk {trunk!r} is unknown; there are {', '.join(TRUNKS)}")
        channels = teacher.channels
        shrink = 1 if teacher.style.kind == "basic" else 2
        inside = inner_channels(channels, student_width)[0] // shrink
        self.teacher = teacher
        self.reverse = trunk == "reverse"
        self.trunk: nn.Module
        if self.reverse:
            self.trunk = nn.Sequential(
                OCBE(channels, teacher.style, student_width),
                ReverseDecoder(channels, teacher.style, teacher.signed, student_width),
            )
        else:
            self.trunk = _untrained(teacher.network)
        self.decouple = nn.ModuleList(nn.ModuleList(_half(c) for _ in range(2)) for c in channels)
        self.normality = PyramidModeling(channels, inside)
        self.abnormality = PyramidModeling(channels, inside)
        for part in (self.normality, self.abnormality):
            initialise(part)
        _begin_as_trunk(self.decouple, self.normality, self.abnormality)
        self.head = MultiPerceptionHead(2 * len(channels), channels[0] // shrink // 2)
        self.mixture: Tensor
        self.register_buffer("mixture", torch.tensor([1.0, 0.0, 0.0]))

    def branches(self, image: Tensor, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return normality and abnormality features of images, each in the shapes of the teacher's `features`.

        The abnormality branch does not train the trunk: a trunk that both branches train predicts normal features less
        well. Without and with it, the normality distances alone reach an image AUROC of .796 and .779, and an AUPRO of
        .757 and .744 (flaws on held-out transistors, embedded teacher, 240 steps).
        """
        student = self.trunk(features if self.reverse else image)
        scales: Iterable[Any] = self.decouple
        normality = [half(s) for (half, _), s in zip(scales, student, strict=True)]
        abnormality = [half(s.detach()) for (_, half), s in zip(scales, student, strict=True)]
        return self.normality(normality), self.abnormality(abnormality)

    def distances(self, image: Tensor, features: list[Tensor] | None = None) -> Tensor:
        """Map (N, 3, H, W), H and W multiples of 32, to distances at three scales of each branch, (N, 6, H / 4, W / 4).

        Args:
            image: Normalised pictures.
            features: Teacher features of these pictures, if they are known.
        """
        if features is None:
            features = self.teacher(image)
        normality, abnormality = self.branches(image, features)
        size = features[0].shape[-2:]
        return torch.cat(
            [
                upsample(cosine_distance(t, s), size)
                for branch in (normality, abnormality)
                for t, s in zip(features, branch, strict=True)
            ],
            1,
        )

    def parts(self, image: Tensor, features: list[Tensor] | None = None) -> Tensor:
        """Map (N, 3, H, W) to (N, 3, H / 4, W / 4): the head's logits, the normality and the abnormality distances."""
        distances = self.distances(image, features)
        normality, abnormality = (half.sum(1, keepdim=True) for half in distances.chunk(2, dim=1))
        return torch.cat([self.head(distances), normality, abnormality], 1)

    def map_of(self, image: Tensor, features: list[Tensor]) -> Tensor:
        """Return the map that is shipped, (N, 1, H / 4, W / 4): `parts`, weighted by `mixture`.

        The head gives logits, not probabilities, because sigmoids saturate and then scores tie.
        """
        return (self.parts(image, features) * self.mixture[:, None, None]).sum(1, keepdim=True)

    def student_loss(self, good: Tensor, defective: Tensor, masks: Tensor, targets: list[Tensor]) -> Tensor:
        """Return the sum of NGM and AIM for a batch of pairs (docs/methods.md, "DMDD", phase A).

        Args:
            good: Images of good parts, (N, 3, H, W).
            defective: The same images with synthetic defects.
            masks: Masks of the defects, (N, 1, H, W), 0 or 1.
            targets: Teacher features of `good`.
        """
        seen = self.teacher(defective)
        both = [torch.cat([t, s]) for t, s in zip(targets, seen, strict=True)]
        # Both halves go through in one pass, so that BatchNorm sees one set of statistics.
        normality, abnormality = self.branches(torch.cat([good, defective]), both)
        guidance = 2 * flattened_cosine([torch.cat([t, t]) for t in targets], normality)
        mimicking = guidance.new_zeros(())
        for teacher, student, marks in zip(both, abnormality, mask_pyramid(masks, seen), strict=True):
            clean, broken = cosine_distance(teacher, student).chunk(2)
            mimicking = mimicking + clean.mean() + _mean_where(broken, 1 - marks)
            mimicking = mimicking + _mean_where(functional.relu(1 - broken), marks)
        return guidance + mimicking

    def head_loss(self, distances: Tensor, masks: Tensor) -> Tensor:
        """Return the sum of focal, L1 and dice loss of the head (docs/methods.md, "DMDD", phase B).

        Args:
            distances: Result of `distances` for good and defective images, (N, 6, h, w).
            masks: Masks of the defects, (N, 1, H, W), 0 or 1; empty for good images.
        """
        logits = self.head(distances)
        (marks,) = mask_pyramid(masks, [logits], 0.5)
        probability = torch.sigmoid(logits.float())
        marked = marks.flatten(1).any(1)
        loss = focal(probability, marks, gamma=FOCUS) + (probability - marks).abs().mean()
        return loss + DICE_WEIGHT * dice(probability[marked], marks[marked]) if marked.any() else loss


def _half(channels: int) -> nn.Module:
    """Return half of a 1x1 convolution to twice the channels; the paper has one convolution and splits its output."""
    return nn.Sequential(conv_bn(channels, channels, 1), nn.ReLU(inplace=True))


def _mean_where(values: Tensor, marks: Tensor) -> Tensor:
    """Return the mean over marked positions; 0 if there are none."""
    return (values * marks).sum() / marks.sum().clamp(min=1)


def _begin_as_trunk(decouple: Iterable[Any], *branches: PyramidModeling) -> None:
    """Let both branches begin as the trunk's features: 1x1 convolutions are the identity, and pyramids add nothing.

    So the student starts where RD4AD's starts, and a few hundred steps are enough to gain something.
    """
    for halves in decouple:
        for half in halves:
            nn.init.dirac_(half[0][0].weight)
    for branch in branches:
        expansions: Iterable[Any] = branch.expand
        for expand in expansions:
            nn.init.zeros_(expand[1].weight)


def _untrained(network: nn.Module) -> nn.Module:
    """Return a copy of a frozen network that has fresh weights and learns."""
    fresh = copy.deepcopy(network).requires_grad_(True)
    for module in fresh.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    initialise(fresh)
    return fresh
