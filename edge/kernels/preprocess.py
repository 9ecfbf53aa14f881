"""The launches of preprocess.cu, which fits a frame on the GPU as edge/frame/fit.py does on the processor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge_inspect.edge.frame.fit import BLANK, Fit
from edge_inspect.edge.frame.placement import Placement
from edge_inspect.edge.frame.resizing import resize_steps
from edge_inspect.edge.kernels.launch import Launch, blocks, structure

_BLOCK = (32, 8, 1)

_PICTURE = structure([("pixels", "u8")] + [(name, "i4") for name in ("width", "height", "pitch", "grey")])
_RESIZE = structure(
    [("from", _PICTURE), ("to", "u8"), ("width", "i4"), ("height", "i4"), ("scale_x", "f8"), ("scale_y", "f8")]
)
_PREPROCESS = structure(
    [("from", _PICTURE), ("to", "u8")]
    + [(name, "i4") for name in ("width", "height", "columns", "step_x", "step_y", "left", "top")]
    + [("inner_width", "i4"), ("inner_height", "i4"), ("scale_x", "f8"), ("scale_y", "f8")]
    + [("scale", "f4", (3,)), ("shift", "f4", (3,))]
    + [("blind", "u8"), ("canvas_width", "i4"), ("blank", "i4")]
)


@dataclass(frozen=True)
class PreprocessPlan:
    """The steps that turn frames of one size into the network's input.

    Attributes:
        fit: The fit of the frame.
        placement: Position of the canvas in the frame.
        view: x, y, width and height of the area of the frame that the network sees.
        steps: Width and height of each intermediate picture, which is (height, width, 3) uint8 without gaps.
    """

    fit: Fit
    placement: Placement
    view: tuple[int, int, int, int]
    steps: tuple[tuple[int, int], ...]

    def launches(
        self,
        view: int,
        pitch: int,
        between: Sequence[int],
        to: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        kind: Literal["float32", "float16"] = "float32",
        blind: int = 0,
    ) -> list[Launch]:
        """Return the launches that turn a frame into the network's input.

        Args:
            view: Address of the first pixel of the area that the network sees, (height, width, 3) uint8 BGR.
            pitch: Number of bytes from one row of that area to the next.
            between: Address of each picture of `steps`.
            to: Address of the network's input, (tiles, 3, height, width) RGB.
            mean: Mean of red, green and blue in [0, 1].
            std: Standard deviation of red, green and blue in [0, 1].
            kind: Type of the network's input.
            blind: Address of `Fit.blind`, (canvas height, canvas width) bool; 0 if the fit has no areas.
        """
        size = self.view[2:]
        picture = (view, *size, pitch, self.fit.grey)
        launches = []
        for step, address in zip(self.steps, between, strict=True):
            parameters = np.zeros(1, _RESIZE)
            parameters[0] = (picture, address, *step, *_scales(size, step))
            grid = blocks(step[0], _BLOCK[0]), blocks(step[1], _BLOCK[1]), 1
            launches.append(Launch("resize", grid, _BLOCK, parameters))
            size = step
            picture = (address, *size, 3 * size[0], self.fit.grey)
        fit, (x0, y0, x1, y1) = self.fit, self.placement.valid
        scale = 1 / (255 * np.array(std, np.float32))
        shift = -np.array(mean, np.float32) / np.array(std, np.float32)
        tiles = fit.width, fit.height, fit.grid.columns, fit.width - fit.grid.overlap, fit.height - fit.grid.overlap
        parameters = np.zeros(1, _PREPROCESS)
        inner = x1 - x0, y1 - y0
        placed = x0, y0, *inner, *_scales(size, inner)
        parameters[0] = (picture, to, *tiles, *placed, scale, shift, blind, fit.canvas[0], BLANK)
        grid = blocks(fit.width, _BLOCK[0]), blocks(fit.height, _BLOCK[1]), fit.grid.count
        return [*launches, Launch(f"preprocess_{kind}", grid, _BLOCK, parameters)]


def _scales(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float]:
    """Return how many pixels of a picture one of the resized picture covers, across and down, as OpenCV rounds it."""
    return 1 / (target[0] / size[0]), 1 / (target[1] / size[1])


def plan(fit: Fit, width: int, height: int) -> PreprocessPlan:
    """Return the steps that turn frames of `width` x `height` pixels into the network's input.

    Raises:
        UsageError: The region of interest lies outside the frame.
    """
    # The placement comes from the fit itself, so that there is only one definition of it.
    _, placement = fit.apply(np.zeros((height, width, 3), np.uint8))
    x0, y0, x1, y1 = placement.valid
    left, top = placement.to_frame(x0, y0)
    right, bottom = placement.to_frame(x1, y1)
    seen = round(right) - round(left), round(bottom) - round(top)
    inner = x1 - x0, y1 - y0
    sizes = [seen, *resize_steps(seen, inner)[:-1]]
    steps = tuple(size for before, size in zip(sizes, sizes[1:], strict=False) if size != before)
    if steps and steps[-1] == inner:
        steps = steps[:-1]  # the kernel that normalises does the last step too
    return PreprocessPlan(fit, placement, (round(left), round(top), *seen), steps)
