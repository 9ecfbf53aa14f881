"""Fit a frame to the network's canvas, and transform points and maps of the canvas back to the frame.

Training, calibration and all engines share this definition. The fit is part of the model and is stored in the
checkpoint and in the bundle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.alignment import Aligner, Alignment
from edge_inspect.edge.frame.areas import Areas
from edge_inspect.edge.frame.fit_modes import DEPTHS, MODES, OVERLAP, Mode
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.frame.placement import Placement
from edge_inspect.edge.frame.pose import Pose
from edge_inspect.edge.frame.resizing import Picture, resize
from edge_inspect.edge.frame.tiles import Grid, Merger

MULTIPLE = 32
"""The network's width and height must be multiples of this."""

MEAN = (0.485, 0.456, 0.406)
"""ImageNet's mean of red, green and blue in [0, 1], with which the network's input is normalised."""

STD = (0.229, 0.224, 0.225)
"""ImageNet's standard deviation of red, green and blue in [0, 1]."""

BLANK = 116
"""Level of all three colours of pixels that are not looked at: grey, as in a fit without colour, and near ImageNet's
mean, which the networks take as zero."""


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
        areas: Where to look in the frame; `None` means everywhere. Frames must then have the size of `areas`.
        alignment: How the part is brought to one pose first; `None` if it lies still. It has a picture, so it is not in
            `as_dict`: checkpoint and bundle keep it beside the other fields.
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
    alignment: Alignment | None = None

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

        A part that does not lie still is found and brought to its pose first. If it is not found, the frame is fitted
        as it is, and the placement's pose says so.

        Resizing is bilinear. A side that is much too long is halved first (`resize_steps`), so that small defects do
        not fall between the samples.

        Raises:
            UsageError: The region of interest lies outside the frame, or the frame has another size than the areas or
                the alignment.
        """
        frame, pose = self.align(frame)
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
        return fitted, placement if pose is None else replace(placement, pose=pose)

    def align(self, frame: Frame) -> tuple[Frame, Pose | None]:
        """Return a frame with the part in its pose, and where the part was; the frame itself if it was not found.

        Only the region of interest is brought to the pose; the rest of the frame is black then.

        Raises:
            UsageError: The frame has another size than the alignment's picture, or the region lies outside it.
        """
        if self.aligner is None:
            return frame, None
        pose = self.aligner.find(frame)
        region = None if self.region is None else self.region_of(frame)
        return (self.aligner.align(frame, pose, region) if pose.found else frame), pose

    @cached_property
    def aligner(self) -> Aligner | None:
        """Finds the part; `None` if the fit aligns nothing. It is made on first use, which may take a second."""
        return None if self.alignment is None else Aligner(self.alignment)

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
    def look_masks(self) -> dict[str, NDArray[np.bool_]]:
        """Pixels of the canvas that show a `look` area and are not blind, (height, width) bool, by the area's name."""
        masks: dict[str, NDArray[np.bool_]] = {}
        if self.areas is None:
            return masks
        for area in self.areas.look:
            drawn = (area.mask(self.areas.size) > 0).astype(np.float32)
            masks[area.name] = ~self.blind & (self._bring_plane(drawn) > 0)
            if not masks[area.name].any():
                raise UsageError(
                    f"area {area.name!r}: nothing of it is looked at; it lies outside --region, is covered by ignored "
                    "areas, or is tiny"
                )
        return masks

    @cached_property
    def weights(self) -> NDArray[np.float32] | None:
        """Factors of the map's values, (height, width) float32 of the canvas; 0 where the map is not looked at.

        `None` if the fit has no areas: everything counts once. Where `look` areas meet or overlap, the largest factor
        counts, so that a defect there is found by the stricter one.
        """
        if self.areas is None:
            return None
        if not self.areas.look:
            return (~self.blind).astype(np.float32)
        factors = np.zeros(self.blind.shape, np.float32)
        for area in self.areas.look:
            factors = np.maximum(factors, np.float32(area.scale) * self.look_masks[area.name])
        return factors

    def area_at(self, x: int, y: int) -> str | None:
        """Return the name of the `look` area at a pixel of the canvas; of several, of the one with the largest factor.

        `None` if the fit has no `look` areas, or none of them has a part in the pixel.
        """
        look = () if self.areas is None else self.areas.look
        there = [area for area in look if self.look_masks[area.name][y, x]]
        return max(there, key=lambda area: area.scale).name if there else None

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
        """Return the fields but the alignment as plain values that YAML can hold."""
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
        """Return the fit whose `as_dict` has these fields."""
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
