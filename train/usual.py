"""What is usual at each position of the part: learned from good pictures, and used where flaws show that it helps.

Where parts lie still under the camera, some positions are always a little unlike the nearest prototype, and some differ
more than others from part to part. A map that is judged by what is usual there finds more at the same false rejects.
Where parts lie at any angle, or their surface has no places, all positions are alike and nothing is gained.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.discrepancy import EPSILON, gaussian_blur
from models.memory import Memory, Usual
from train.bootstrap import Gain, gain
from train.validation import TrialPictures

ENOUGH = 20
"""Good pictures from which on it is learned: the spread at a position is that of as many values."""
JUDGES = 5
"""Good pictures with flaws on them that decide, at least: of fewer, the standard error is not known well enough."""

SEED = 0x05A1
"""Of the flaws; none that a validation uses."""

SMOOTH = 1.0
"""Standard deviation, in positions, over which mean and variance are averaged: few pictures tell each only roughly."""
FLOOR = 0.5
"""Of the spread of all positions, added to that of each: a position that hardly differs would cry out by chance."""


def learn_usual(maps: Tensor) -> Usual:
    """Return what is usual at each position of maps of good pictures, (N, 1, h, w), none of which the memory knows."""
    usual = Usual(maps.shape[-2:])
    overall = maps.std().clamp(min=EPSILON)
    spread = gaussian_blur(maps.var(0, keepdim=True), SMOOTH).sqrt()
    usual.mean.copy_(gaussian_blur(maps.mean(0, keepdim=True), SMOOTH))
    usual.scale.copy_(overall / (spread + FLOOR * overall))
    return usual


def by_others(maps: Tensor, blocks: Tensor) -> Tensor:
    """Return maps of good pictures, each judged by what is usual in the pictures of the other blocks.

    By itself a picture would look more usual than a new one does.

    Args:
        maps: (N, 1, h, w).
        blocks: The block of each, (N,); there are two at least.
    """
    judged = torch.empty_like(maps)
    for block in blocks.unique():
        judged[blocks == block] = learn_usual(maps[blocks != block])(maps[blocks == block])
    return judged


@torch.inference_mode()
def worth_by_usual(model: Memory, usual: Usual, trial: TrialPictures, device: torch.device) -> Gain:
    """Return how much more the memory's map is worth on flaws where it is judged by what is usual.

    Args:
        model: Its memory filled.
        usual: What is usual.
        trial: Good pictures that neither has seen.
        device: Where the model is.
    """
    usual = usual.to(device)

    def both(images: Tensor) -> Tensor:
        distances = model.banks(model.teacher(images.to(device)))
        return torch.cat([usual(distances), distances], 1)

    given, marks, valid = trial.judge(both, SEED)
    return gain(given[:, :1], given[:, 1:], marks, valid)
