"""How a frame is fitted to the network, and how what the network sees is brought back to the frame.

One definition for training, calibration and every engine: the fit is part of the model and travels in the checkpoint
and the bundle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.areas import Areas
from edge_inspect.edge.frame.fit_modes import DEPTHS, MODES, MOST_TILES, OVERLAP, Mode
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.frame.resizing import Picture, resize
from edge_inspect.edge.frame.tiles import Grid, Merger

MULTIPLE = 32

MEAN = (0.485, 0.456, 0.406)
"""ImageNet's mean of red, green and blue in [0, 1], by which the networks' input is normalised."""

STD = (0.229, 0.224, 0.225)
"""ImageNet's standard deviation, likewise."""

BLANK = 116
"""Level of all three colours of pixels that are not looked at: grey, as in a fit without colour, and near ImageNet's
mean, which the networks take as zero."""


@dataclass(frozen=True)
class Placement:
    """Where a fitted frame lies: frame = origin + scale * canvas, in pixels, pixel edges on whole numbers.

    Attributes:
        scale_x: Frame pixels per canvas pixel, horizontally.
        scale_y: The same, vertically.
        origin_x: The frame's x of the canvas's left edge; negative where padding comes first.
        origin_y: The same, for the top edge.
        valid: x0, y0, x1, y1 in canvas pixels: the part that shows the frame, not padding.
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
        """Return a point of the canvas (pixel edges on whole numbers) in frame pixels."""
        return self.origin_x + x * self.scale_x, self.origin_y + y * self.scale_y

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 in frame pixels: the part of the frame that the network sees."""
        x0, y0, x1, y1 = self.valid
        (left, top), (right, bottom) = self.to_frame(x0, y0), self.to_frame(x1, y1)
        return round(left), round(top), round(right), round(bottom)

    def map_to_frame(self, values: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
        """Return a map of the canvas's size, bilinear in a frame of `width` x `height`; 0 where nothing was seen."""
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
    """A rule that brings frames of any size to the network's.

    A frame is brought to the *canvas*, which is what maps and decisions refer to. The canvas is the network's
    input itself, except in mode `tile`: there it is larger, is cut into overlapping tiles of the network's size, and
    the maps of the tiles are merged into one of the canvas (edge/frame/tiles.py).

    Attributes:
        width: The network's input width, a multiple of 32.
        height: Its height, likewise.
        mode: `stretch` to the size; `pad` (the whole frame, its proportions kept, the edges replicated into the rest);
            `crop` (the middle, proportions kept, nothing added: what lies outside is not inspected); or `tile`
            (stretched to the canvas of several tiles).
        region: x, y, width, height of the region of interest in frame pixels; `None` is the whole frame.
        grey: Colour is removed first.
        tiles: Columns and rows of tiles; other modes than `tile` have one.
        overlap: Network pixels that neighbouring tiles share, at most half a tile's side.
        bits: How many bits the values of 16-bit picture files use, where the files do not say; see `read_image`.
        areas: Where to look in the frame; `None` is everywhere. Frames must then have the size of `areas`.
    """

    width: int = 256
    height: int = 256
    mode: Mode = "stretch"
    region: tuple[int, int, int, int] | None = None
    grey: bool = False
    tiles: tuple[int, int] = (1, 1)
    overlap: int = OVERLAP
    bits: int | None = None
    areas: Areas | None = None

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
            raise UsageError(f"fit {self.mode} has one tile, not {self.tiles[0]}x{self.tiles[1]}; that is the fit tile")
        if not isinstance(self.overlap, int) or self.overlap < 0:
            raise UsageError(f"overlap {self.overlap} must be a whole number of pixels, 0 or more")
        for side, count in zip((self.width, self.height), self.tiles, strict=True):
            if count > 1 and 2 * self.overlap > side:
                raise UsageError(f"overlap {self.overlap} must be at most half a tile's side, {side // 2}")

    @property
    def grid(self) -> Grid:
        """Where the tiles lie on the canvas."""
        columns, rows = self.tiles
        return Grid(self.width, self.height, columns, rows, self.overlap)

    @property
    def canvas(self) -> tuple[int, int]:
        """Width and height of fitted frames and their maps."""
        return self.grid.canvas

    def cut(self, canvas: Frame) -> Frame:
        """Return what the network sees of a fitted frame: (tiles, height, width, 3) uint8, row by row."""
        return self.grid.cut(canvas)

    def merge(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the tiles' maps, (tiles, height, width), as one of the canvas, (height, width), without seams."""
        return Merger(self.grid).merge(maps)

    def apply(self, frame: Frame) -> tuple[Frame, Placement]:
        """Fit a frame: return it, (height, width, 3) uint8 BGR of the canvas's size, and where it lies.

        Bilinear, after halving a side that is at least twice too long: small defects must not fall between samples.

        Raises:
            UsageError: The region of interest lies outside the frame.
        """
        x, y, w, h = self.region_of(frame)
        view = frame[y : y + h, x : x + w]
        if self.grey:
            view = cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
        placement = self._place(x, y, w, h)
        fitted = self._bring(view, placement, (x, y))
        if self.areas is not None:
            if self.areas.size != (frame.shape[1], frame.shape[0]):
                raise UsageError(
                    f"the areas to look at were drawn on pictures of {self.areas.size[0]}x{self.areas.size[1]} pixels, "
                    f"and this frame has {frame.shape[1]}x{frame.shape[0]}; set the camera to that size, or draw the "
                    "areas anew and train with them"
                )
            fitted = fitted.copy() if np.may_share_memory(fitted, frame) else fitted
            self.blank(fitted)
            placement = replace(placement, weights=self.weights)
        return fitted, placement

    def blank(self, fitted: Frame) -> None:
        """Give the pixels of a fitted frame that are not looked at one colour, in place."""
        if self.areas is not None:
            cv2.copyTo(self._blanks, self.blind.view(np.uint8), fitted)

    @cached_property
    def blind(self) -> NDArray[np.bool_]:
        """Pixels of the canvas that take anything from pixels of the frame that are not looked at, (height, width)."""
        width, height = self.canvas
        if self.areas is None:
            return np.zeros((height, width), bool)
        blind: NDArray[np.bool_] = self._bring_plane((~self.areas.looked_at()).astype(np.float32)) > 0
        if blind.all():
            raise UsageError(
                "no pixel of what the network sees is looked at; the areas lie outside --region, or are tiny"
            )
        return blind

    @cached_property
    def weights(self) -> NDArray[np.float32] | None:
        """Factors of the map's values, (height, width) float32 of the canvas; 0 where the map is not looked at.

        `None` if the fit has no areas: everything counts once.
        """
        if self.areas is None:
            return None
        return np.where(self.blind, np.float32(0), self._bring_plane(self.areas.scales()))

    @cached_property
    def _blanks(self) -> Frame:
        width, height = self.canvas
        return np.full((height, width, 3), BLANK, np.uint8)

    def _bring_plane(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values of the frame's pixels, (h, w) float32, on the canvas."""
        x, y, w, h = self.region_of(plane)
        return np.asarray(self._bring(plane[y : y + h, x : x + w], self._place(x, y, w, h), (x, y)), np.float32)

    def _place(self, x: int, y: int, w: int, h: int) -> Placement:
        """Return where a region of the frame lies on the canvas."""
        if self.mode in ("stretch", "tile"):
            width, height = self.canvas
            return Placement(w / width, h / height, x, y, (0, 0, width, height))
        if self.mode == "pad":
            scale = min(self.width / w, self.height / h)
            inner_w, inner_h = max(1, round(w * scale)), max(1, round(h * scale))
            left, top = (self.width - inner_w) // 2, (self.height - inner_h) // 2
            sx, sy = w / inner_w, h / inner_h
            valid = (left, top, left + inner_w, top + inner_h)
            return Placement(sx, sy, x - left * sx, y - top * sy, valid)
        scale = max(self.width / w, self.height / h)
        seen_w, seen_h = min(w, max(1, round(self.width / scale))), min(h, max(1, round(self.height / scale)))
        left, top = (w - seen_w) // 2, (h - seen_h) // 2
        sx, sy = seen_w / self.width, seen_h / self.height
        return Placement(sx, sy, x + left, y + top, (0, 0, self.width, self.height))

    def _bring(self, view: Picture, placement: Placement, corner: tuple[int, int]) -> Picture:
        """Return a region on the canvas: what is seen of it resized, and its edges replicated into the padding.

        Args:
            view: The region's pixels, of which the first is the frame's pixel `corner`, x and y.
            placement: Where the canvas lies in the frame.
            corner: See `view`.
        """
        left, top, right, bottom = placement.seen
        seen = view[top - corner[1] : bottom - corner[1], left - corner[0] : right - corner[0]]
        x0, y0, x1, y1 = placement.valid
        inner = resize(seen, x1 - x0, y1 - y0)
        width, height = self.canvas
        if inner.shape[:2] == (height, width):
            return inner
        padded: Picture = cv2.copyMakeBorder(inner, y0, height - y1, x0, width - x1, cv2.BORDER_REPLICATE)
        return padded

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for YAML."""
        region = None if self.region is None else list(self.region)
        return {
            "width": self.width,
            "height": self.height,
            "mode": self.mode,
            "region": region,
            "grey": self.grey,
            "tiles": list(self.tiles),
            "overlap": self.overlap,
            **({} if self.bits is None else {"bits": self.bits}),
            **({} if self.areas is None else {"areas": self.areas.as_dict()}),
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Fit:
        """Return the inverse of `as_dict`."""
        region = fields.get("region")
        tiles, areas = fields.get("tiles", (1, 1)), fields.get("areas")
        return cls(
            **{
                **fields,
                "region": None if region is None else tuple(region),
                "tiles": tuple(tiles),
                "areas": None if areas is None else Areas.from_dict(areas),
            }
        )

    def region_of(self, frame: NDArray[Any]) -> tuple[int, int, int, int]:
        """Return x, y, width, height of the region of interest in a frame.

        Raises:
            UsageError: It lies outside the frame.
        """
        height, width = frame.shape[:2]
        if self.region is None:
            return 0, 0, width, height
        x, y, w, h = self.region
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
            raise UsageError(f"region of interest {x},{y},{w},{h} lies outside a frame of {width}x{height} pixels")
        return self.region


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) of `256` or `320x192`.

    Raises:
        UsageError: It is neither.
    """
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if match is None:
        raise UsageError(f"size {text!r} is neither a number like 256 nor WIDTHxHEIGHT like 320x192")
    width = int(match[1])
    return width, int(match[2] or width)


def grid_for(region: tuple[int, int], tile: tuple[int, int], overlap: int = OVERLAP) -> tuple[int, int]:
    """Return the fewest tiles, columns and rows, whose canvas is at least the region's size: nothing is shrunk.

    Args:
        region: Width and height of what is inspected, in frame pixels.
        tile: The network's width and height.
        overlap: Pixels that neighbouring tiles share.

    Raises:
        UsageError: It takes more than 16, or the overlap leaves no room.
    """
    if not 0 <= 2 * overlap <= min(tile):
        raise UsageError(f"overlap {overlap} must lie between 0 and half a tile's side, {min(tile) // 2}")
    columns, rows = (
        max(1, -(-(length - overlap) // (side - overlap))) for length, side in zip(region, tile, strict=True)
    )
    if columns * rows > MOST_TILES:
        raise UsageError(
            f"{region[0]}x{region[1]} pixels make {columns}x{rows} = {columns * rows} tiles of {tile[0]}x{tile[1]}, "
            f"and auto stops at {MOST_TILES}; name fewer with --tiles (the picture is then shrunk to them), narrow "
            "--region, or give a larger --size"
        )
    return columns, rows
