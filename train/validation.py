"""How good a model is if there are no defects to test with: synthetic flaws on good pictures that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, read_image
from edge_inspect.models.discrepancy import gaussian_blur, upsample
from edge_inspect.models.network import Network
from edge_inspect.train.datasets import TestImage
from edge_inspect.train.evaluation import Evaluation
from edge_inspect.train.flaws import Flaws
from edge_inspect.train.material import normalise
from edge_inspect.train.metrics import aupro, auroc
from edge_inspect.train.progress import tracked
from edge_inspect.train.synthesis import SyntheticDefect

SEED = 0x5EED
DRAWS = 6
"""Number of flaws on each picture: one of each kind."""

MOST_PICTURES = 40
"""Most good pictures that a choice within one training looks at."""

FLAW = "synthetic flaw"
"""Name of the kind of a picture with a flaw, among the kinds of test pictures."""


class Drawing(Protocol):
    """An object that draws defects on good pictures: `train.flaws.Flaws` or `train.synthesis.Synthesis`."""

    def draw(self, index: int, turn: int) -> SyntheticDefect:
        """Return the `turn`-th defect on picture `index`."""


@dataclass(frozen=True)
class TrialPictures:
    """Good pictures on which flaws are drawn, for a choice within a training.

    Attributes:
        pictures: Pictures as the network sees them, (N, H, W, 3) uint8 BGR, at most `MOST_PICTURES`.
        valid: Pixels that count: they show the frame, not padding, and are looked at; (N, H, W) bool.
        foreground: How to find the part; see `train.foreground`.
        learned: Whether the model has learned from them, because none were held out.
    """

    pictures: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    foreground: str = "auto"
    learned: bool = False

    @classmethod
    def load(cls, paths: Sequence[Path], fit: Fit, foreground: str, learned: bool = False) -> TrialPictures:
        """Read the first few of the files."""
        pictures, valid, _ = _tiles(paths[:MOST_PICTURES], fit)
        return cls(pictures[:MOST_PICTURES], valid[:MOST_PICTURES], foreground, learned)

    def judge(
        self, compute: Callable[[Tensor], Tensor], seed: int
    ) -> tuple[Tensor, NDArray[np.uint8], NDArray[np.bool_]]:
        """Return a network's maps of the pictures and of `DRAWS` flaws on each, the flaws' masks, and valid pixels.

        Args:
            compute: The network, as `on_defects` takes it.
            seed: Random seed of the flaws.

        Returns:
            Maps and masks as `on_defects` returns them, and the valid pixels of the same pictures,
            (N (1 + DRAWS), H, W) bool.
        """
        flaws = Flaws(self.pictures, seed=seed, foreground=self.foreground, valid=self.valid)
        maps, masks = on_defects(compute, self.pictures, flaws, DRAWS)
        return maps, masks, np.repeat(self.valid, 1 + DRAWS, axis=0)


Unseen = Callable[[], TrialPictures]
"""Returns the first good pictures that the training held out; if it held out none, the first that it learned from."""


def shown_at(valid: NDArray[np.bool_], size: tuple[int, int]) -> Tensor:
    """Return where a coarser map sees only pixels that count, (N, h, w) bool, from (N, H, W) bool."""
    return nn.functional.interpolate(torch.from_numpy(valid)[:, None].float(), size=size, mode="area")[:, 0] == 1


def evaluate_flaws(
    model: Network,
    pictures: Sequence[Path],
    fit: Fit,
    device: torch.device,
    draws: int = DRAWS,
    foreground: str = "auto",
) -> Evaluation:
    """Run good pictures, and `draws` flaws on each, through a model, with progress.

    A picture is what the network sees at once, so a tile counts as one. The flaws (`train.flaws`) are of other kinds
    than those that systems train with. The result may serve to choose systems, fits and steps. It does not tell how
    many real defects will be found.

    Raises:
        ImageError: A picture cannot be read.
    """
    model = model.to(device).eval()
    tiles, valid, sources = _tiles(pictures, fit)
    flaws = _Kept(Flaws(tiles, seed=SEED, foreground=foreground, valid=valid))
    maps, masks = on_defects(lambda images: model.anomaly_map(images.to(device)), tiles, flaws, draws)
    drawn = np.stack(flaws.pictures).reshape(len(tiles), draws, *tiles.shape[1:])
    every, where = maps[:, 0].numpy(), np.repeat(valid, 1 + draws, axis=0)
    return Evaluation(
        images=[TestImage(path, kind, None) for path in sources for kind in ("good", *[FLAW] * draws)],
        scores=image_scores(every, where),
        maps=every,
        masks=masks,
        valid=where,
        known=np.ones(len(every), bool),
        drawn=np.concatenate([tiles[:, None], drawn], axis=1).reshape(-1, *tiles.shape[1:]),
    )


class _Kept:
    """Draws flaws, and keeps the pictures in the order in which they were drawn."""

    def __init__(self, flaws: Flaws) -> None:
        self.pictures: list[Frame] = []
        self._flaws = flaws

    def draw(self, index: int, turn: int) -> SyntheticDefect:
        """Return the `turn`-th flaw on picture `index`."""
        defect = self._flaws.draw(index, turn)
        self.pictures.append(defect.picture)
        return defect


def on_defects(
    compute: Callable[[Tensor], Tensor], pictures: NDArray[np.uint8], drawing: Drawing, draws: int
) -> tuple[Tensor, NDArray[np.uint8]]:
    """Return a network's results for good pictures and for defects on them; each good one is followed by its own.

    Args:
        compute: Maps normalised pictures, (1 + draws, 3, H, W), to (1 + draws, C, h, w).
        pictures: (N, H, W, 3) uint8 BGR.
        drawing: Draws defects on the same pictures.
        draws: Number of defects on each picture.

    Returns:
        (N (1 + draws), C, h, w) float32 on the CPU, and the masks, (N (1 + draws), H, W), empty for good pictures.
    """
    given, masks = [], []
    for i, picture in enumerate(tracked(pictures, len(pictures), "synthetic defects", "images")):
        defects = [drawing.draw(i, turn) for turn in range(draws)]
        with torch.inference_mode():
            batch = normalise(np.stack([picture, *(defect.picture for defect in defects)]))
            given.append(compute(batch).float().cpu())
        masks += [np.zeros(picture.shape[:2], np.uint8), *(defect.mask for defect in defects)]
    return torch.cat(given), np.stack(masks)


def worth(maps: Tensor, masks: NDArray[np.uint8], valid: NDArray[np.bool_] | None = None) -> float:
    """Return how well maps tell flaws from good pictures: the mean of image AUROC and AUPRO.

    Args:
        maps: Maps before any smoothing, (N, 1, h, w).
        masks: Masks of the flaws, (N, H, W), 0 or 1; empty for good pictures.
        valid: Pixels that show the frame and not padding, and so count, (N, H, W); by default all.
    """
    return worth_of(smoothed(maps, masks), masks, np.ones(masks.shape, bool) if valid is None else valid)


def worth_of(smooth: NDArray[np.float32], masks: NDArray[np.uint8], valid: NDArray[np.bool_]) -> float:
    """Return the same for maps from `smoothed`."""
    return (auroc(image_scores(smooth, valid), masks.any(axis=(1, 2))) + aupro(smooth, masks, valid=valid)) / 2


def smoothed(maps: Tensor, masks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return maps, (N, 1, h, w), upsampled to the masks' size and blurred for judging, (N, H, W) float32."""
    height, width = masks.shape[1:]
    return np.asarray(gaussian_blur(upsample(maps, (height, width)))[:, 0].numpy(), np.float32)


def image_scores(maps: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the largest value of each map, (N, H, W), among the pixels that count: (N,)."""
    return np.asarray(np.where(valid, maps, -np.inf).max(axis=(1, 2)), np.float32)


def _tiles(pictures: Sequence[Path], fit: Fit) -> tuple[NDArray[np.uint8], NDArray[np.bool_], list[Path]]:
    """Return pictures as the network sees them, which pixels count, and their files.

    Tiles of which no pixel counts are left out.

    Returns:
        (N, H, W, 3) uint8 BGR, (N, H, W) bool, and N files.
    """
    tiles, valid, sources = [], [], []
    for path in pictures:
        fitted, placement = fit.apply(read_image(path, fit.bits))
        if not placement.found:
            continue
        shown = placement.looked_at(fit.canvas)
        counts = np.stack([shown[place] for place in fit.grid.places()])
        some = counts.any(axis=(1, 2))
        tiles.append(fit.cut(fitted)[some])
        valid.append(counts[some])
        sources += [path] * int(some.sum())
    return np.concatenate(tiles), np.concatenate(valid), sources
