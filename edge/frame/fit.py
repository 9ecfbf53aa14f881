"""Fit a frame to the network's canvas, and transform points and maps of the canvas back to the frame.

Training, calibration and all engines share this definition. The fit is part of the model and is stored in the
checkpoint and in the bundle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.fit_modes import DEPTHS, MODES, MOST_TILES, OVERLAP, Mode
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.frame.tiles import Grid, Merger

MULTIPLE = 32
"""The network's width and height must be multiples of this."""
SHRINK = 1.5
"""A side that is at least this many times as long as its target is halved first."""

MEAN = (0.485, 0.456, 0.406)
"""ImageNet's mean of red, green and blue in [0, 1], with which the network's input is normalised."""

STD = (0.229, 0.224, 0.225)
"""ImageNet's standard deviation of red, green and blue in [0, 1]."""


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
    """

    scale_x: float
    scale_y: float
    origin_x: float
    origin_y: float
    valid: tuple[int, int, int, int]

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


@dataclass(frozen=True)
class Fit:
    """A rule that fits frames of any size to the network.

    A frame is fitted to the *canvas*, to which maps and decisions refer. The canvas is the network's input, except in
    mode `tile`. In that mode it is larger and is cut into overlapping tiles of the network's size, and the maps of the
    tiles are merged into one of the canvas (edge/frame/tiles.py).

    Attributes:
        width: Width of the network's input, a multiple of 32.
        height: Height of the network's input, a multiple of 32.
        mode: `stretch` stretches the frame to the size. `pad` keeps the proportions and the whole frame, and fills the
            rest by replicating its edges. `crop` keeps the proportions and only inspects the middle of the frame.
            `tile` stretches the frame to the canvas of several tiles.
        region: x, y, width and height of the region of interest in frame pixels; `None` means the whole frame.
        grey: Whether colour is removed first.
        tiles: Number of columns and rows of tiles; (1, 1) in all modes but `tile`.
        overlap: Number of network pixels that neighbouring tiles share, at most half a tile's side.
        bits: Number of bits that the values of 16-bit picture files use, if the files do not say; see `read_image`.
    """

    width: int = 256
    height: int = 256
    mode: Mode = "stretch"
    region: tuple[int, int, int, int] | None = None
    grey: bool = False
    tiles: tuple[int, int] = (1, 1)
    overlap: int = OVERLAP
    bits: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("width", self.width), ("height", self.height)):
            if not isinstance(value, int) or value < MULTIPLE or value % MULTIPLE:
                raise UsageError(f"input {name} {value} must be a positive multiple of {MULTIPLE}")
        if self.mode not in MODES:
            raise UsageError(f"fit {self.mode!r} is unknown; there are {', '.join(MODES)}")
        if self.region is not None and not (len(self.region) == 4 and all(isinstance(v, int) for v in self.region)):
            raise UsageError(f"region of interest {self.region} must be four whole numbers: x, y, width, height")
        if len(self.tiles) != 2 or not all(isinstance(v, int) and v >= 1 for v in self.tiles):
            raise UsageError(f"tiles {self.tiles} must be two positive whole numbers: columns, rows")
        if self.bits is not None and self.bits not in DEPTHS:
            raise UsageError(f"bits {self.bits} must be one of {', '.join(map(str, DEPTHS))}")
        if self.mode != "tile" and self.tiles != (1, 1):
            raise UsageError(
                f"fit {self.mode} has one tile, not {self.tiles[0]}x{self.tiles[1]}; use the fit tile for several"
            )
        if not isinstance(self.overlap, int) or self.overlap < 0:
            raise UsageError(f"overlap {self.overlap} must be a whole number of pixels, 0 or more")
        for side, count in zip((self.width, self.height), self.tiles, strict=True):
            if count > 1 and 2 * self.overlap > side:
                raise UsageError(f"overlap {self.overlap} must be at most half a tile's side, {side // 2}")

    @property
    def grid(self) -> Grid:
        """Positions of the tiles on the canvas."""
        columns, rows = self.tiles
        return Grid(self.width, self.height, columns, rows, self.overlap)

    @property
    def canvas(self) -> tuple[int, int]:
        """Width and height of fitted frames and their maps."""
        return self.grid.canvas

    def cut(self, canvas: Frame) -> Frame:
        """Return the tiles of a fitted frame, which the network sees: (tiles, height, width, 3) uint8, row by row."""
        return self.grid.cut(canvas)

    def merge(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the tiles' maps, (tiles, height, width), merged without seams into the canvas's map."""
        return Merger(self.grid).merge(maps)

    def apply(self, frame: Frame) -> tuple[Frame, Placement]:
        """Return a frame fitted to the canvas, (height, width, 3) uint8 BGR, and the canvas's position in the frame.

        Resizing is bilinear. A side that is much too long is halved first (`resize_steps`), so that small defects do
        not fall between the samples.

        Raises:
            UsageError: The region of interest lies outside the frame.
        """
        x, y, w, h = self.region_of(frame)
        view = frame[y : y + h, x : x + w]
        if self.grey:
            view = cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
        if self.mode in ("stretch", "tile"):
            width, height = self.canvas
            return _resize(view, width, height), Placement(w / width, h / height, x, y, (0, 0, width, height))
        if self.mode == "pad":
            scale = min(self.width / w, self.height / h)
            inner_w, inner_h = max(1, round(w * scale)), max(1, round(h * scale))
            left, top = (self.width - inner_w) // 2, (self.height - inner_h) // 2
            fitted = cv2.copyMakeBorder(
                _resize(view, inner_w, inner_h),
                top,
                self.height - inner_h - top,
                left,
                self.width - inner_w - left,
                cv2.BORDER_REPLICATE,
            ).astype(np.uint8, copy=False)
            sx, sy = w / inner_w, h / inner_h
            valid = (left, top, left + inner_w, top + inner_h)
            return fitted, Placement(sx, sy, x - left * sx, y - top * sy, valid)
        scale = max(self.width / w, self.height / h)
        seen_w, seen_h = min(w, max(1, round(self.width / scale))), min(h, max(1, round(self.height / scale)))
        left, top = (w - seen_w) // 2, (h - seen_h) // 2
        fitted = _resize(view[top : top + seen_h, left : left + seen_w], self.width, self.height)
        sx, sy = seen_w / self.width, seen_h / self.height
        return fitted, Placement(sx, sy, x + left, y + top, (0, 0, self.width, self.height))

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that YAML can hold."""
        region = None if self.region is None else list(self.region)
        return {
            "width": self.width,
            "height": self.height,
            "mode": self.mode,
            "region": region,
            "grey": self.grey,
            "tiles": list(self.tiles),
            "overlap": self.overlap,
        } | ({} if self.bits is None else {"bits": self.bits})

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Fit:
        """Return the fit whose `as_dict` has these fields."""
        region = fields.get("region")
        tiles = fields.get("tiles", (1, 1))
        return cls(**{**fields, "region": None if region is None else tuple(region), "tiles": tuple(tiles)})

    def region_of(self, frame: Frame) -> tuple[int, int, int, int]:
        """Return x, y, width and height of the region of interest in a frame.

        Raises:
            UsageError: The region lies outside the frame.
        """
        height, width = frame.shape[:2]
        if self.region is None:
            return 0, 0, width, height
        x, y, w, h = self.region
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
            raise UsageError(f"region of interest {x},{y},{w},{h} lies outside a frame of {width}x{height} pixels")
        return self.region


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) from a text such as `256` or `320x192`.

    Raises:
        UsageError: The text has neither form.
    """
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if match is None:
        raise UsageError(f"size {text!r} is neither a number like 256 nor WIDTHxHEIGHT like 320x192")
    width = int(match[1])
    return width, int(match[2] or width)


def grid_for(region: tuple[int, int], tile: tuple[int, int], overlap: int = OVERLAP) -> tuple[int, int]:
    """Return the smallest number of columns and rows of tiles whose canvas has at least the region's size.

    With so many tiles the region is not shrunk.

    Args:
        region: Width and height of the inspected region in frame pixels.
        tile: Width and height of the network's input.
        overlap: Number of pixels that neighbouring tiles share.

    Raises:
        UsageError: More than 16 tiles are needed, or the overlap is too large.
    """
    if not 0 <= 2 * overlap <= min(tile):
        raise UsageError(f"overlap {overlap} must lie between 0 and half a tile's side, {min(tile) // 2}")
    columns, rows = (
        max(1, -(-(length - overlap) // (side - overlap))) for length, side in zip(region, tile, strict=True)
    )
    if columns * rows > MOST_TILES:
        raise UsageError(
            f"{region[0]}x{region[1]} pixels need {columns}x{rows} = {columns * rows} tiles of {tile[0]}x{tile[1]}, "
            f"but auto makes {MOST_TILES} at most; give fewer with --tiles (the picture is then shrunk to them), a "
            "smaller --region, or a larger --size"
        )
    return columns, rows


def resize_steps(size: tuple[int, int], target: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the width and height after each bilinear step in which a picture is resized; the last is the target.

    At any scale, bilinear sampling reads only two pixels a side. If the scale is 1.5 or more, a line of one pixel may
    keep less than a quarter of its contrast, and near 2 it may fall between the samples. So a side that is at least one
    and a half times too long is halved first, as often as necessary. At a scale of exactly one half, bilinear sampling
    is the mean of neighbours, and in OpenCV it is several times faster than area sampling. An odd side is first made
    even.
    """
    w, h = size
    steps = []
    while w >= SHRINK * target[0] or h >= SHRINK * target[1]:
        halve_w, halve_h = w >= SHRINK * target[0], h >= SHRINK * target[1]
        w, h = w + w % 2 * halve_w, h + h % 2 * halve_h
        steps.append((w, h))
        w, h = w // (1 + halve_w), h // (1 + halve_h)
        steps.append((w, h))
    return [*steps, target]


def _resize(image: Frame, width: int, height: int) -> Frame:
    for step in resize_steps((image.shape[1], image.shape[0]), (width, height)):
        image = _bilinear(image, *step)
    return np.ascontiguousarray(image)


def _bilinear(image: Frame, width: int, height: int) -> Frame:
    if image.shape[1] == width and image.shape[0] == height:
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
