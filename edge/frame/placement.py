"""Where a fitted frame lies: points, maps and pixels of the canvas brought back to the frame.

If a part does not lie still, its frame is aligned before it is fitted. Then a point goes from the canvas to the aligned
frame, and by the part's pose to the frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.frame.pose import Matrix, Pose


@dataclass(frozen=True)
class Placement:
    """The position of the canvas in the aligned frame: aligned = origin + scale * canvas, in pixels.

    Coordinates are whole numbers at the edges of pixels.

    Attributes:
        scale_x: Frame pixels per canvas pixel, horizontally.
        scale_y: Frame pixels per canvas pixel, vertically.
        origin_x: X of the canvas's left edge in the frame; negative if the canvas begins with padding.
        origin_y: Y of the canvas's top edge in the frame; negative if the canvas begins with padding.
        valid: x0, y0, x1, y1 in canvas pixels of the area that shows the frame and not padding.
        weights: `Fit.weights`.
        pose: Where the part lies in the frame; `None` if the fit aligns nothing. Then the aligned frame is the frame.
    """

    scale_x: float
    scale_y: float
    origin_x: float
    origin_y: float
    valid: tuple[int, int, int, int]
    weights: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    pose: Pose | None = None

    @property
    def found(self) -> bool:
        """Whether the part was found, or nothing was sought; otherwise the map says nothing of the part."""
        return self.pose is None or self.pose.found

    def looked_at(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which pixels of the canvas count, (height, width) bool: they show the frame, and are looked at.

        Args:
            size: Width and height of the canvas.
        """
        x0, y0, x1, y1 = self.valid
        inside = np.zeros(size[::-1], bool)
        inside[y0:y1, x0:x1] = True
        return inside if self.weights is None else inside & (self.weights > 0)

    def to_aligned(self, x: float, y: float) -> tuple[float, float]:
        """Return a point of the canvas in pixels of the aligned frame. Pixel edges are at whole numbers."""
        return self.origin_x + x * self.scale_x, self.origin_y + y * self.scale_y

    def to_frame(self, x: float, y: float) -> tuple[float, float]:
        """Return a point of the canvas in frame pixels. Pixel edges are at whole numbers."""
        across, down = self.to_aligned(x, y)
        if self.pose is None or not self.pose.moved:
            return across, down
        # A pose has pixel centres at whole numbers.
        moved = self.pose.to_frame @ (across - 0.5, down - 0.5, 1.0)
        return float(moved[0]) + 0.5, float(moved[1]) + 0.5

    def box_to_frame(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        """Return the smallest upright box round a box of the canvas in frame pixels: x0, y0, x1, y1."""
        corners = [self.to_frame(x, y) for x in (x0, x1) for y in (y0, y1)]
        across, down = [x for x, _ in corners], [y for _, y in corners]
        return min(across), min(down), max(across), max(down)

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 in pixels of the area of the aligned frame that the network sees."""
        x0, y0, x1, y1 = self.valid
        (left, top), (right, bottom) = self.to_aligned(x0, y0), self.to_aligned(x1, y1)
        return round(left), round(top), round(right), round(bottom)

    def map_to_frame(
        self, values: NDArray[np.float32], width: int, height: int, step: tuple[float, float] = (1.0, 1.0)
    ) -> NDArray[np.float32]:
        """Return the canvas's map in the plane of the frame; 0 where the network saw nothing.

        Args:
            values: The map, (height, width) float32 of the canvas.
            width: Width of the result in pixels.
            height: Height of the result in pixels.
            step: Frame pixels per pixel of the result, horizontally and vertically; (1, 1) means that the result has
                the frame's resolution.
        """
        x0, y0, x1, y1 = self.valid
        seen = values[y0:y1, x0:x1]
        left, top = self.to_aligned(x0, y0)
        across, down = step
        # Between pixel centres: canvas = (step * (result + 1/2) - left) / scale - 1/2.
        matrix = np.array(
            [
                [across / self.scale_x, 0, (0.5 * across - left) / self.scale_x - 0.5],
                [0, down / self.scale_y, (0.5 * down - top) / self.scale_y - 0.5],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        whole = cv2.warpAffine(seen, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        inside = np.zeros((height, width), np.float32)
        x0, y0, x1, y1 = self.seen
        rows = slice(math.floor(y0 / down), math.ceil(y1 / down))
        columns = slice(math.floor(x0 / across), math.ceil(x1 / across))
        inside[rows, columns] = whole[rows, columns]
        if self.pose is not None and self.pose.moved:
            inside = np.asarray(cv2.warpAffine(inside, _stepped(self.pose.to_frame, step), (width, height)), np.float32)
        return inside


def _stepped(matrix: Matrix, step: tuple[float, float]) -> Matrix:
    """Return a pose's matrix between two planes with `step` frame pixels per pixel; pixel centres on whole numbers."""
    each = np.array(step)
    # A pixel's centre in the frame is frame = step * (plane + 1/2) - 1/2.
    offset = 0.5 * each - 0.5
    turn = matrix[:, :2] * each / each[:, None]
    return np.column_stack([turn, (matrix[:, :2] @ offset + matrix[:, 2] - offset) / each])
