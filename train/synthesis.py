"""Synthetic defects: good pictures with foreign or misplaced texture blended in, and the masks of the defects.

AAND's first stage and DMDD use the same defects. Their shapes are Perlin noise as in DRAEM (Zavrtanik et al. 2021,
arXiv 2108.07610; also DeSTSeg, Zhang et al. 2023, arXiv 2211.11317). A foreground mask keeps them on the part (AAND,
arXiv 2405.02068; DMDD, arXiv 2408.03888). Structural defects come from the picture itself (MemSeg, Yang et al. 2022,
arXiv 2205.00908):

    I_a = (1 - M) I + M (beta I + (1 - beta) X),    M = [Perlin > 1/2] foreground,    beta ~ U(0, opacity)

This is computed on grey levels, before any normalisation, so that I_a equals I outside M to the bit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import DataSetError, ImageError, UsageError
from edge_inspect.edge.frame.images import SUFFIXES, Frame, read_image
from edge_inspect.train.foreground import Mask, foreground_masks, masks_inside
from edge_inspect.train.textures import perlin_noise, render_texture

Rng = np.random.Generator

BANK = 256
"""Number of rendered textures of 256x256 pixels, each of which takes 35 ms; of larger ones there are fewer."""

VISIBLE = 4.0
"""Mean grey levels by which a defect has to differ from the good picture inside its mask; 2 cannot be seen."""

_MASK_TRIES, _TEXTURE_TRIES = 10, 4
_DRAWS, _BANK = 1, 2  # keep the streams of random numbers apart


@dataclass(frozen=True)
class SyntheticDefect:
    """A good picture with a defect.

    Attributes:
        picture: (H, W, 3) uint8 BGR; the good picture wherever the mask is 0.
        mask: (H, W) uint8, 1 on the defect, 0 elsewhere; never empty.
    """

    picture: Frame
    mask: Mask


class Synthesis:
    """Draws defects on good pictures of one product.

    If all pictures are grey, so are the defects, because a grey camera sees no colour, and colour would give them away.
    AAND as published is `self_texture=0, jitter=1`; DMDD's authors use 0 for both in their later code.

    Args:
        pictures: (N, H, W, 3) uint8 BGR, fitted to the network; H and W are multiples of 32.
        seed: Random seed; with index and turn, it determines everything.
        textures: Folder of pictures, such as DTD, from which foreign texture is taken, with all its subfolders. By
            default textures are rendered (`train.textures`), each when it is first needed.
        foreground: How to find the part; see `train.foreground`.
        counts: Pixels on which defects may lie at all, (N, H, W); by default all.
        self_texture: Share of defects made from the picture itself, shifted or in shuffled patches.
        jitter: Share of foreign textures that three random colour operations are applied to.
        opacity: Largest share beta of the good picture that shows through.

    Attributes:
        foregrounds: (N, H, W) uint8, 1 where defects may lie.

    Raises:
        DataSetError: `textures` is not a folder, or has no picture.
        UsageError: A share is outside [0, 1], or there is no such foreground.
    """

    def __init__(
        self,
        pictures: NDArray[np.uint8],
        *,
        seed: int,
        textures: Path | None = None,
        foreground: str = "auto",
        counts: NDArray[np.bool_] | None = None,
        self_texture: float = 0.25,
        jitter: float = 0.5,
        opacity: float = 0.8,
    ) -> None:
        for name, share in (("self_texture", self_texture), ("jitter", jitter), ("opacity", opacity)):
            if not 0 <= share <= 1:
                raise UsageError(f"{name} {share} must be from 0 to 1")
        self.foregrounds = foreground_masks(pictures, foreground)
        if counts is not None:
            self.foregrounds = masks_inside(self.foregrounds, counts)
        self._pictures, self._seed = pictures, seed
        self._self_texture, self._jitter, self._opacity = self_texture, jitter, opacity
        self._grey = bool((pictures == pictures[..., :1]).all())
        size = (pictures.shape[1], pictures.shape[2])
        self._foreign = _Rendered(size, seed) if textures is None else _Folder(textures, size)

    def only(self, places: NDArray[np.intp]) -> Synthesis:
        """Return the same for some of the pictures.

        Args:
            places: Indices of these pictures.
        """
        few = copy.copy(self)
        vars(few).update(_pictures=self._pictures[places], foregrounds=self.foregrounds[places])
        return few

    def draw(self, index: int, turn: int) -> SyntheticDefect:
        """Draw the `turn`-th defect on picture `index`; it depends only on seed, index and turn, whatever the thread.

        A texture that hardly differs from what it covers would teach that good is bad. So it is drawn again; after four
        failures, the picture with its grey levels moved by 128 is used instead.

        Raises:
            DataSetError: A file in the folder of textures is damaged.
        """
        rng = np.random.default_rng([self._seed, _DRAWS, index, turn])
        good = self._pictures[index]
        mask = defect_mask(self.foregrounds[index], rng)
        for _ in range(_TEXTURE_TRIES):
            beta = rng.uniform(0, self._opacity)
            bad = laid(good, cv2.addWeighted(good, beta, self._texture(good, rng), 1 - beta, 0), mask)
            if visible(bad, good, mask):
                return SyntheticDefect(bad, mask)
        return SyntheticDefect(laid(good, good ^ 128, mask), mask)

    def _texture(self, good: Frame, rng: Rng) -> Frame:
        if rng.random() < self._self_texture:
            return _rearranged(good, rng)
        texture = self._foreign.pick(rng)
        if rng.random() < self._jitter:
            texture = _jittered(texture, rng)
        return cv2.cvtColor(cv2.cvtColor(texture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) if self._grey else texture


def laid(good: Frame, other: Frame, mask: Mask) -> Frame:
    """Return the other picture where the mask is 1, the good one elsewhere."""
    return np.asarray(cv2.copyTo(other, mask, good.copy()), np.uint8)


def visible(bad: Frame, good: Frame, mask: Mask) -> bool:
    """Return whether two pictures differ by `VISIBLE` over the mask, after a 3x3 mean, so that noise does not count."""
    change = cv2.blur(cv2.subtract(bad, good, dtype=cv2.CV_32F), (3, 3))
    return bool(np.mean(cv2.mean(np.abs(change), mask)[:3]) >= VISIBLE)


def defect_mask(foreground: Mask, rng: Rng) -> Mask:
    """Draw a random shape on the part: Perlin noise above 1/2, with 1 to 32 cells each way, rotated by up to 90°.

    This follows DRAEM; the median defect covers 5 % of the frame. A shape is drawn again if it has fewer than 16 of
    every 65536 pixels of the frame, or more than half of the part. After ten failures, the twentieth of the part where
    the last noise is highest is taken.

    Args:
        foreground: (H, W) uint8, 1 on the part, which has at least a few pixels.
        rng: Random generator.

    Returns:
        (H, W) uint8, 0 or 1: not empty, and 0 wherever the foreground is 0.
    """
    height, width = foreground.shape
    part = int(foreground.sum())
    least, most = max(4, round(foreground.size / 4096)), part // 2
    for _ in range(_MASK_TRIES):
        # A cell has at least four pixels: noise is 0 at the nodes, and shows only between them.
        down, across = (2 ** int(rng.integers(min(6, (side // 4).bit_length()))) for side in (height, width))
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-90, 90), 1)
        noise = perlin_noise((height, width), (down, across), rng)
        noise = cv2.warpAffine(noise, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        mask = cv2.bitwise_and(cv2.compare(noise, 0.5, cv2.CMP_GT), foreground)
        if least <= cv2.countNonZero(mask) <= most:
            return np.asarray(mask, np.uint8)
    wanted = min(part, max(least, part // 20))
    lowest = np.partition(noise[foreground > 0], part - wanted)[part - wanted]
    return np.asarray((noise >= lowest) & (foreground > 0), np.uint8)


class _Folder:
    """Foreign texture from files."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        if not folder.is_dir():
            raise DataSetError(f"{folder}: no such folder of textures")
        self._paths = sorted(p for p in folder.rglob("[!.]*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not self._paths:
            raise DataSetError(f"{folder}: holds no textures; expected pictures ({', '.join(SUFFIXES)}) at any depth")
        self._size = size

    def pick(self, rng: Rng) -> Frame:
        path = self._paths[rng.integers(len(self._paths))]
        try:
            texture = read_image(path)
        except ImageError as error:
            raise DataSetError(f"texture {error}") from error
        return np.asarray(cv2.resize(texture, self._size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


class _Rendered:
    """Foreign texture that is rendered, kept, and shown flipped, rotated and enlarged in ever new ways."""

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        self._size, self._seed = size, seed
        self._count = min(BANK, max(BANK // 8, BANK * 256 * 256 // (size[0] * size[1])))
        self._kept: dict[int, Frame] = {}

    def pick(self, rng: Rng) -> Frame:
        """Return a random texture, flipped and rotated at random; a window of half to full size of it is enlarged."""
        number = int(rng.integers(self._count))
        if number not in self._kept:  # two threads may both render it, with the same result
            self._kept[number] = render_texture(np.random.default_rng([self._seed, _BANK, number]), self._size)
        texture = self._kept[number][:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
        texture = texture.swapaxes(0, 1) if rng.random() < 0.5 else texture
        room = np.array(texture.shape[:2])
        window = (room * rng.uniform(0.5, 1)).astype(int)
        y, x = rng.integers(0, room - window + 1)
        view = np.ascontiguousarray(texture[y : y + window[0], x : x + window[1]])
        return np.asarray(cv2.resize(view, self._size[::-1]), np.uint8)


def _rearranged(good: Frame, rng: Rng) -> Frame:
    """Return the picture shifted cyclically by an eighth to seven eighths of its sides, or with its tiles shuffled."""
    height, width = good.shape[:2]
    if rng.random() < 0.5:
        shift = [int(rng.integers(side // 8, side - side // 8 + 1)) for side in (height, width)]
        return np.roll(good, shift, axis=(0, 1))
    cells = int(rng.choice((2, 4, 8)))
    tiles = good.reshape(cells, height // cells, cells, width // cells, 3).swapaxes(1, 2)
    tiles = rng.permutation(tiles.reshape(cells * cells, *tiles.shape[2:])).reshape(tiles.shape)
    return np.ascontiguousarray(tiles.swapaxes(1, 2)).reshape(good.shape)


def _jittered(texture: Frame, rng: Rng) -> Frame:
    """Apply three different operations out of DRAEM's ten, in random order."""
    for number in rng.choice(len(OPERATIONS), 3, replace=False):
        texture = OPERATIONS[number](texture, rng)
    return texture


_LEVELS = np.arange(256)[:, None]


def _mapped(texture: Frame, curve: NDArray[np.generic]) -> Frame:
    """Map the grey levels by a curve, (256, 1), or by one curve for each channel, (256, 3)."""
    table = np.clip(curve, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(texture, np.ascontiguousarray(np.broadcast_to(table, (256, 3)))[None]), np.uint8)


def _gamma(texture: Frame, rng: Rng) -> Frame:
    return _mapped(texture, (_LEVELS / 255) ** rng.uniform(0.5, 2, 3) * 255)


def _brightness(texture: Frame, rng: Rng) -> Frame:
    return _mapped(texture, _LEVELS * rng.uniform(0.8, 1.2) + rng.uniform(-30, 30))


def _sharpness(texture: Frame, rng: Rng) -> Frame:
    """Blend between a 3x3 blur (0), the picture (1) and its opposite (2)."""
    factor = rng.uniform(0, 2)
    return np.asarray(cv2.addWeighted(texture, factor, cv2.GaussianBlur(texture, (3, 3), 0), 1 - factor, 0), np.uint8)


def _hue_saturation(texture: Frame, rng: Rng) -> Frame:
    """Move hue and saturation by up to 50 of 255; a full circle of hue is 180 in OpenCV."""
    hue, saturation = rng.uniform(-50, 50, 2) * (180 / 255, 1)
    curve = np.hstack([(_LEVELS + hue) % 180, _LEVELS + saturation, _LEVELS])
    moved = _mapped(np.asarray(cv2.cvtColor(texture, cv2.COLOR_BGR2HSV), np.uint8), curve)
    return np.asarray(cv2.cvtColor(moved, cv2.COLOR_HSV2BGR), np.uint8)


def _solarise(texture: Frame, rng: Rng) -> Frame:
    return _mapped(texture, np.where(rng.uniform(32, 128) < _LEVELS, 255 - _LEVELS, _LEVELS))


def _posterise(texture: Frame, rng: Rng) -> Frame:
    """Keep only the highest 1 to 7 bits."""
    return _mapped(texture, _LEVELS & (256 - 2 ** int(rng.integers(1, 8))))


def _invert(texture: Frame, _: Rng) -> Frame:
    return np.asarray(cv2.bitwise_not(texture), np.uint8)


def _autocontrast(texture: Frame, rng: Rng) -> Frame:
    """Stretch each channel to 0..255, clipping up to 20 % of the pixels at either end."""
    share = rng.uniform(0, 20)
    low, high = np.percentile(texture[::4, ::4], (share, 100 - share), axis=(0, 1))
    return _mapped(texture, (_LEVELS - low) * (255 / np.maximum(high - low, 1)))


def _equalise(texture: Frame, _: Rng) -> Frame:
    return np.asarray(cv2.merge([cv2.equalizeHist(channel) for channel in cv2.split(texture)]), np.uint8)


def _rotate(texture: Frame, rng: Rng) -> Frame:
    height, width = texture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-45, 45), 1)
    return np.asarray(cv2.warpAffine(texture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101), np.uint8)


OPERATIONS: tuple[Callable[[Frame, Rng], Frame], ...] = (
    _gamma, _brightness, _sharpness, _hue_saturation, _solarise,
    _posterise, _invert, _autocontrast, _equalise, _rotate,
)  # fmt: skip
"""DRAEM's ten operations on a texture: each returns a changed picture of the same size."""
