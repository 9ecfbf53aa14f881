"""What a model is worth where there are no defects to test with: synthetic ones, on good pictures it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from edge.errors import DataSetError
from edge.files import sha256
from edge.fit import Fit
from edge.images import read_image
from models.registry import System
from train.checkpoint import Checkpoint
from train.datasets import Category
from train.material import normalise
from train.metrics import summarise
from train.progress import tracked
from train.synthesis import Synthesis

SEED = 0x5EED
DRAWS = 4
SELF_TEXTURE = 0.5


def held_out_pictures(about: Checkpoint, category: Category) -> list[Path]:
    """The good pictures of a category that a training kept aside.

    Raises:
        DataSetError: There is none, because nothing was held out or the pictures have changed.
    """
    wanted = set(about.held_out)
    found = [path for path in [*category.train_images(), *category.held_out_images()] if sha256(path) in wanted]
    if not found:
        raise DataSetError(
            f"{category.root}: holds none of the {len(wanted)} good images that the training kept aside; "
            "train with --hold-out above 0, and give the same images"
        )
    return found


def validate(
    model: System,
    pictures: Sequence[Path],
    fit: Fit,
    device: torch.device,
    textures: Path | None = None,
    draws: int = DRAWS,
) -> dict[str, float]:
    """The metrics of `train.metrics.summarise`, of good pictures and as many synthetic defects on each as `draws` says.

    A picture is what the network sees at once, so a tile counts as one. Half of the defects are made of the picture
    itself, more than any system trains with; the seed is none that a training uses. Systems, fits and epochs may be
    chosen by it; how many real defects will be found it does not tell.

    Raises:
        DataSetError: A texture is damaged.
        ImageError: A picture cannot be read.
    """
    model = model.to(device).eval()
    tiles, valid = _tiles(pictures, fit)
    synthesis = Synthesis(tiles, seed=SEED, textures=textures, self_texture=SELF_TEXTURE)
    maps, masks, good, seen = [], [], [], []
    for i in tracked(range(len(tiles)), len(tiles), "validating", "images"):
        defects = [synthesis.draw(i, turn) for turn in range(draws)]
        batch = np.stack([tiles[i], *(defect.picture for defect in defects)])
        with torch.inference_mode():
            maps.append(model.anomaly_map(normalise(batch).to(device))[:, 0].cpu().numpy())
        masks += [np.zeros_like(defects[0].mask), *(defect.mask for defect in defects)]
        good += [True] + [False] * draws
        seen += [valid[i]] * (1 + draws)
    every, where = np.concatenate(maps), np.stack(seen)
    scores = np.where(where, every, -np.inf).max(axis=(1, 2))
    return summarise(scores.tolist(), good, every, np.stack(masks), where)


def _tiles(pictures: Sequence[Path], fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W, 3) uint8, and (N, H, W) bool: which pixels show the frame and not padding."""
    tiles, valid = [], []
    for path in pictures:
        fitted, placement = fit.apply(read_image(path))
        shown = np.zeros(fitted.shape[:2], bool)
        x0, y0, x1, y1 = placement.valid
        shown[y0:y1, x0:x1] = True
        tiles.append(fit.cut(fitted))
        valid.append(np.stack([shown[place] for place in fit.grid.places()]))
    return np.concatenate(tiles), np.concatenate(valid)
