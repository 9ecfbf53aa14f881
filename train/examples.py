"""Maps of a model in training for a few good pictures, and for the same pictures with a synthetic defect."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import Frame, read_image
from edge_inspect.edge.text import clean
from edge_inspect.models.network import Network
from edge_inspect.train.flaws import Flaws
from edge_inspect.train.material import normalise
from edge_inspect.train.synthesis import SyntheticDefect
from edge_inspect.train.thumbnails import panels, scale_bar, side_by_side, size_of, small, small_map, small_mask
from edge_inspect.train.validation import SEED

COUNT = 3


@dataclass(frozen=True)
class Example:
    """A good picture, and the same with a defect.

    Attributes:
        name: Name of its file.
        good: The picture as the network sees it, (H, W, 3) uint8 BGR; one of its tiles if the fit has several.
        defect: The picture with the defect, and the defect's mask.
        seen: Rectangle that shows the frame and not padding.
        size: Width and height at which it is shown, in the frame's proportions.
    """

    name: str
    good: Frame
    defect: SyntheticDefect
    seen: tuple[slice, slice]
    size: tuple[int, int]


class Examples:
    """Example maps for a page. The defects are flaws (`train.flaws`) of one seed that no training uses.

    Args:
        paths: Files of good pictures; the first few are shown.
        fit: How they are fitted to the network.
        foreground: Where defects may lie; see `train.foreground`.
    """

    def __init__(self, paths: Sequence[Path], fit: Fit, foreground: str = "auto") -> None:
        self._paths, self._fit, self._foreground = paths[:COUNT], fit, foreground
        self._examples: list[Example] = []

    def draw(self, model: Network) -> str:
        """Return the model's maps as HTML; neither the model nor the random numbers of a training change.

        Raises:
            ImageError: A picture cannot be read.
            UsageError: There is no such foreground.
        """
        self._examples = self._examples or self._read()
        maps = [_maps(model, example) for example in self._examples]
        scores = [values.max() for pair in maps for values in pair]
        scale = float(np.median(np.concatenate([pair.ravel() for pair in maps]))), float(np.quantile(scores, 0.9))
        figures = "\n".join(_figures(example, pair, scale) for example, pair in zip(self._examples, maps, strict=True))
        return f'{scale_bar(*scale)}\n<div class="cases">\n{figures}\n</div>'

    def _read(self) -> list[Example]:
        grid, read = self._fit.grid, []
        for path in self._paths:
            fitted, placement = self._fit.apply(read_image(path, self._fit.bits))
            tile = self._fit.cut(fitted)[grid.count // 2]
            x0, y0, x1, y1 = placement.valid if grid.count == 1 else (0, 0, self._fit.width, self._fit.height)
            size = size_of((x1 - x0) * placement.scale_x, (y1 - y0) * placement.scale_y)
            read.append((clean(path.name), tile, (slice(y0, y1), slice(x0, x1)), size))
        counts = ~self._fit.blind[grid.places()[grid.count // 2]]
        flaws = Flaws(
            np.stack([good for _, good, _, _ in read]),
            seed=SEED,
            foreground=self._foreground,
            valid=np.stack([counts] * len(read)),
        )
        return [Example(name, good, flaws.draw(i, 0), seen, size) for i, (name, good, seen, size) in enumerate(read)]


def _maps(model: Network, example: Example) -> NDArray[np.float32]:
    """Return the maps without and with the defect, (2, h, w) float32 of what shows the frame.

    Two pictures run at a time, as many as in the smallest step of a training, so they never need more memory than that.
    """
    images = normalise(np.stack([example.good, example.defect.picture]))
    with _evaluating(model), torch.no_grad():
        maps = model.anomaly_map(images.to(next(model.parameters()).device))
    rows, columns = example.seen
    return np.asarray(maps[:, 0, rows, columns].cpu().numpy(), np.float32)


@contextlib.contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Set evaluation mode, then restore the mode of every module, because only some of them learn in a phase."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _figures(example: Example, maps: NDArray[np.float32], scale: tuple[float, float]) -> str:
    name, size = escape(example.name), example.size
    truth = small_mask(example.defect.mask[example.seen] > 0, size)
    shown = (
        (name, example.good, maps[0], None),
        (f"{name} with a defect", example.defect.picture, maps[1], truth),
    )
    return "\n".join(
        '<figure class="case">'
        f"{side_by_side(panels(title, small(picture[example.seen], size), small_map(values, size), scale, mask))}"
        f"<figcaption><b>{title}</b> score {values.max():.4f}</figcaption></figure>"
        for title, picture, values, mask in shown
    )
