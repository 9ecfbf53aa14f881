"""Flaws for validation: synthetic defects of other kinds and shapes than those that systems train with.

A model that learned from blended texture (`train.synthesis`) finds more of the same easily, which says little about
real parts. The flaws here change the picture itself, as wear and handling do, and their shapes are not those of Perlin
noise. The kind closest to a training's is `misplaced`: a quarter of DMDD's defects show the picture's own texture,
shifted or shuffled.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.frame.images import Frame
from edge_inspect.train.foreground import Mask, foreground_masks, masks_inside
from edge_inspect.train.synthesis import Rng, SyntheticDefect, laid, visible

SMALLEST, LARGEST = 0.0005, 0.1
"""Area of an ellipse as a share of the frame; it is drawn evenly on a logarithmic scale."""

_TRIES = 20


class Flaws:
    """Draws flaws on good pictures of one product; the six kinds take turns.

    Args:
        pictures: (N, H, W, 3) uint8 BGR, fitted to the network.
        seed: Random seed; with index and turn, it determines everything.
        foreground: How to find the part; see `train.foreground`.
        valid: (N, H, W) bool, the pixels that show the frame and not padding; by default all.

    Attributes:
        foregrounds: (N, H, W) uint8, 1 where flaws may lie.

    Raises:
        UsageError: There is no such foreground.
    """

    def __init__(
        self,
        pictures: NDArray[np.uint8],
        *,
        seed: int,
        foreground: str = "auto",
        valid: NDArray[np.bool_] | None = None,
    ) -> None:
        self.foregrounds = foreground_masks(pictures, foreground)
        if valid is not None:
            self.foregrounds = masks_inside(self.foregrounds, valid)
        self._pictures, self._seed = pictures, seed

    def draw(self, index: int, turn: int, width: float | None = None) -> SyntheticDefect:
        """Draw the `turn`-th flaw on picture `index`; it depends only on seed, index, turn and width.

        A flaw that cannot be seen, such as a smear where the picture is even, is drawn again, of any kind. After twenty
        failures, the grey levels inside the shape are moved by 128.

        Args:
            index: Index of the picture.
            turn: Number of the flaw on that picture; it decides the kind.
            width: Length of the flaw as a share of the part's width; by default the size is random.
        """
        rng = np.random.default_rng([self._seed, index, turn])
        good, part = self._pictures[index], self.foregrounds[index]
        kind = KINDS[(index + turn) % len(KINDS)]
        length = None if width is None else width * part_width(part)
        for _ in range(_TRIES):
            shape = (_line if kind is scratch else _ellipse)(part, rng, length)
            mask = cv2.bitwise_and(np.asarray(shape > 0, np.uint8), part)
            if cv2.countNonZero(mask) == 0:
                continue
            bad = laid(good, kind(good, shape, rng), mask)
            if visible(bad, good, mask):
                return SyntheticDefect(bad, mask)
            kind = KINDS[rng.integers(len(KINDS))]
        mask = mask if mask.any() else part
        return SyntheticDefect(laid(good, good ^ 128, mask), mask)


def part_width(part: Mask) -> int:
    """Return how many columns a part spans; the mask must not be empty."""
    return int(np.ptp(np.flatnonzero(part.any(axis=0)))) + 1


Shape = NDArray[np.float32]
"""(H, W) float32: strength of the flaw, 1 in its middle and 0 outside."""


def scratch(good: Frame, shape: Shape, rng: Rng) -> Frame:
    """Make the picture darker or brighter along a line."""
    return _shaded(good, shape, rng.choice((-1, 1)) * rng.uniform(30, 120))


def stain(good: Frame, shape: Shape, rng: Rng) -> Frame:
    """Draw a soft spot, darker or brighter."""
    return _shaded(good, shape, rng.choice((-1, 1)) * rng.uniform(20, 90))


def smear(good: Frame, shape: Shape, rng: Rng) -> Frame:
    """Blur the picture along one direction, by a sixteenth to an eighth of the frame."""
    length = int(rng.integers(max(3, min(shape.shape) // 16), max(5, min(shape.shape) // 8)))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    middle = (length / 2 - 0.5, length / 2 - 0.5)
    turned = cv2.warpAffine(kernel, cv2.getRotationMatrix2D(middle, rng.uniform(0, 180), 1), kernel.shape)
    return _blended(good, cv2.filter2D(good, -1, turned / max(float(turned.sum()), 1e-6)), shape)


def dent(good: Frame, shape: Shape, rng: Rng) -> Frame:
    """Pull the picture aside, most in the middle, by up to half of the shape's width."""
    reach = rng.uniform(0.25, 0.5) * np.sqrt(float((shape > 0).sum()))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.indices(shape.shape, np.float32)
    return np.asarray(
        cv2.remap(
            good,
            x + shape * np.float32(reach * np.cos(angle)),
            y + shape * np.float32(reach * np.sin(angle)),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        ),
        np.uint8,
    )


def gap(good: Frame, shape: Shape, rng: Rng) -> Frame:
    """Fill the shape from its surroundings, as if what was there were gone (Telea 2004)."""
    return np.asarray(cv2.inpaint(good, np.asarray(shape > 0, np.uint8), 3, cv2.INPAINT_TELEA), np.uint8)


def misplaced(good: Frame, shape: Shape, rng: Rng) -> Frame:
    """Insert a piece from another place of the picture, rotated (CutPaste: Li et al. 2021, arXiv 2104.04015)."""
    height, width = shape.shape
    y, x = np.unravel_index(int(np.argmax(shape)), shape.shape)
    matrix = cv2.getRotationMatrix2D((float(x), float(y)), rng.uniform(-180, 180), 1)
    matrix[:, 2] += rng.uniform(-0.5, 0.5, 2) * (width, height)
    return np.asarray(cv2.warpAffine(good, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101), np.uint8)


KINDS: tuple[Callable[[Frame, Shape, Rng], Frame], ...] = (scratch, stain, smear, dent, gap, misplaced)


def _ellipse(part: Mask, rng: Rng, length: float | None) -> Shape:
    """Return an ellipse of random direction, up to 3 to 1, with its centre on the part; it fades out as half a cosine.

    Its area is random, or its longer axis is `length` pixels long.
    """
    area = part.size * np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST)))
    ratio, angle = np.exp(rng.uniform(0, np.log(3))), rng.uniform(0, np.pi)
    short = max(1.5, np.sqrt(area / (np.pi * ratio))) if length is None else max(1.0, length / (2 * ratio))
    v, u = np.indices(part.shape, np.float32) - _place(part, rng)[:, None, None]
    along, across = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    distance = np.sqrt((along / (short * ratio)) ** 2 + (across / short) ** 2)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * np.minimum(distance, 1)), np.float32)


def _line(part: Mask, rng: Rng, length: float | None) -> Shape:
    """Return a bent line from a place on the part, 1 to 3 pixels wide and a sixteenth to a half of the frame long.

    A line of a given `length` in pixels is at most a quarter of that wide, but never narrower than the least width.
    """
    random_length = min(part.shape) * np.exp(rng.uniform(np.log(1 / 16), np.log(1 / 2)))
    most = 3 if length is None else max(1, int(length / 4))
    length = random_length if length is None else length
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.15, 8))
    steps = np.stack([np.cos(angles), np.sin(angles)], 1) * (length / len(angles))
    points = np.vstack([np.zeros(2), np.cumsum(steps, 0)]) + _place(part, rng)[::-1]
    drawn = np.zeros(part.shape, np.uint8)
    # Coordinates have four fractional bits: a line between pixels is as faint as it is on a sensor.
    fine = [np.rint(points * 16).astype(np.int32)]
    cv2.polylines(drawn, fine, False, 255, min(most, int(rng.integers(1, 4))), cv2.LINE_AA, 4)
    return np.asarray(drawn / np.float32(255), np.float32)


def _place(part: Mask, rng: Rng) -> NDArray[np.float32]:
    """Return a random pixel of the part: row and column."""
    return np.asarray(np.unravel_index(rng.choice(np.flatnonzero(part)), part.shape), np.float32)


def _shaded(good: Frame, shape: Shape, levels: float) -> Frame:
    return np.asarray(np.clip(np.rint(good + shape[..., None] * levels), 0, 255), np.uint8)


def _blended(good: Frame, other: Frame, shape: Shape) -> Frame:
    return np.asarray(np.rint(good + shape[..., None] * (other.astype(np.float32) - good)), np.uint8)
