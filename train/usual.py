"""The usual values of a map at each position of the part: learned from good pictures, used if flaws show a gain.

If parts lie still under the camera, some positions are always a little unlike the nearest prototype, and some vary more
than others from part to part. A map that is judged relative to the usual value at each position finds more at the same
rate of false rejects. If parts lie at any angle, or their surface has no distinct places, all positions are alike and
nothing is gained.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from edge_inspect.edge.program import say
from edge_inspect.models.discrepancy import EPSILON, gaussian_blur
from edge_inspect.models.memory import Memory, Remembering, Usual
from edge_inspect.train.bootstrap import Gain, gain
from edge_inspect.train.crossfit import CrossFit
from edge_inspect.train.validation import TrialPictures, Unseen

ENOUGH = 20
"""Number of good pictures needed to learn it: the spread at a position is estimated from as many values."""
JUDGES = 5
"""Least number of good pictures with flaws that decide; with fewer, the standard error is not known well enough."""

SEED = 0x05A1
"""Random seed of the flaws; no validation uses the same."""

SMOOTH = 1.0
"""Standard deviation, in positions, of the blur of mean and variance, because a few pictures tell each only roughly."""
FLOOR = 0.5
"""Share of the spread of all positions that is added to each position's spread. Otherwise a position that hardly varies
would raise an alarm by chance."""


def learn_usual(maps: Tensor) -> Usual:
    """Return the usual value at each position of maps, (N, 1, h, w), of good pictures that the memory does not know."""
    usual = Usual(maps.shape[-2:])
    overall = maps.std().clamp(min=EPSILON)
    spread = gaussian_blur(maps.var(0, keepdim=True), SMOOTH).sqrt()
    usual.mean.copy_(gaussian_blur(maps.mean(0, keepdim=True), SMOOTH))
    usual.scale.copy_(overall / (spread + FLOOR * overall))
    return usual


def by_others(maps: Tensor, blocks: Tensor) -> Tensor:
    """Return maps of good pictures, each judged relative to usual values of pictures from other blocks.

    Judged by itself, a picture would look more usual than a new one does.

    Args:
        maps: Maps of good pictures, (N, 1, h, w).
        blocks: Block of each map, (N,); there are at least two.
    """
    judged = torch.empty_like(maps)
    for block in blocks.unique():
        judged[blocks == block] = learn_usual(maps[blocks != block])(maps[blocks == block])
    return judged


def can_choose(crossfit: CrossFit, unseen: Unseen) -> bool:
    """Return whether there are fixed positions, enough pictures to learn what is usual there, and others to judge it.

    Args:
        crossfit: Pictures to learn from; there must be enough even without any one of their blocks.
        unseen: Pictures to judge by; they are asked for only if there are enough others.
    """
    count, largest = len(crossfit.blocks), max(Counter(crossfit.blocks).values())
    if crossfit.fit.grid.count > 1 or count < ENOUGH or largest > count - ENOUGH // 2:
        return False
    trial = unseen()
    return not trial.learned and len(trial.pictures) >= JUDGES


def choose_usual(
    model: Memory | Remembering, maps: Tensor, trial: TrialPictures, device: torch.device
) -> tuple[Usual | None, dict[str, Any]]:
    """Return usual values if a map relative to them is surely better on flaws, else `None`; and the result on flaws.

    Args:
        model: Network whose memory is filled.
        maps: The memory's cross-fitted maps of good pictures, (N, 1, h, w).
        trial: Good pictures that the memory has not seen.
        device: Device of the model.
    """
    usual = learn_usual(maps)
    better = _gain(model, usual, trial, device)
    say(
        f"memory: on synthetic flaws, the mean of AUROC and AUPRO is {better.one:.4f} if its map is "
        f"judged by what is usual at each position, and {better.other:.4f} as it is, standard error of the difference "
        f"{better.error:.4f}; "
        f"{'the former' if better.sure else 'the latter'} is taken"
    )
    worths = {"kept": better.sure, "with": better.one, "without": better.other, "standard_error": better.error}
    return usual if better.sure else None, worths


@torch.inference_mode()
def _gain(model: Memory | Remembering, usual: Usual, trial: TrialPictures, device: torch.device) -> Gain:
    """Return how much better the memory's map is on flaws if it is judged relative to usual values."""
    usual = copy.deepcopy(usual).to(device)

    def both(images: Tensor) -> Tensor:
        distances = model.banks(model.teacher(images.to(device)))
        return torch.cat([usual(distances), distances], 1)

    given, marks, valid = trial.judge(both, SEED)
    return gain(given[:, :1], given[:, 1:], marks, valid)
