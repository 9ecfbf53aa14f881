"""Where a fitted frame lies: points, maps and pixels of the canvas brought back to the frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Placement:
    """The position of the canvas in the frame: frame = origin + scale * canvas, in pixels.

    Coordinates are whole numbers at the edges of pixels.

    Attributes:
        scale_x: Frame pixels per canvas pixel, horizontally.
        scale_y: Frame pixels per canvas pixel, vertically.
        origin_x: X of the canvas's left edge in the frame; negative if the canvas begins with padding.
        origin_y: Y of the canvas's top edge in the frame; negative if the canvas begins with padding.
        valid: x0, y0, x1, y1 in canvas pixels of the area that shows the frame and not padding.
        weights: `Fit.weights`.
    """

    scale_x: float
    scale_y: float
    origin_x: float
    origin_y: float
    valid: tuple[int, int, int, int]
    weights: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)

    def looked_at(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which pixels of the canvas count, (height, width) bool: they show the frame, and are looked at.

        Args:
            size: Width and height of the canvas.
        """
        x0, y0, x1, y1 = self.valid
        inside = np.zeros(size[::-1], bool)
        inside[y0:y1, x0:x1] = True
        return inside if self.weights is None else inside & (self.weights > 0)

    def to_frame(self, x: float, y: float) -> tuple[float, float]:
        """Return a point of the canvas in frame pixels. Pixel edges are at whole numbers."""
        return self.origin_x + x * self.scale_x, self.origin_y + y * self.scale_y

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 in frame pixels of the area of the frame that the network sees."""
        x0, y0, x1, y1 = self.valid
        (left, top), (right, bottom) = self.to_frame(x0, y0), self.to_frame(x1, y1)
        return round(left), round(top), round(right), round(bottom)

    def map_to_frame(self, values: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
        """Return the canvas's map resampled to a frame of `width` x `height`; 0 where the network saw nothing."""
        x0, y0, x1, y1 = self.valid
        seen = values[y0:y1, x0:x1]
        left, top = self.to_frame(x0, y0)
        # Between pixel centres: canvas = (frame + 1/2 - left) / scale - 1/2.
        matrix = np.array(
            [
                [1 / self.scale_x, 0, (0.5 - left) / self.scale_x - 0.5],
                [0, 1 / self.scale_y, (0.5 - top) / self.scale_y - 0.5],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        whole = cv2.warpAffine(seen, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        inside = np.zeros((height, width), np.float32)
        x0, y0, x1, y1 = self.seen
        inside[y0:y1, x0:x1] = whole[y0:y1, x0:x1]
        return inside
