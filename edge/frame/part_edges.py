"""The edges of a part as points with normals: fitted to a frame below the pixel, and compared with it.

The points are taken from one level of the reference picture's pyramid. `EdgePoints.refine` samples the frame along
each normal, takes the place of the steepest rise as the edge, and moves the pose so that points and edges meet (least
squares over the distances along the normals, outliers weighted down by Tukey's function). Light cannot shift the place
of the steepest rise, and a defect or a glare is an outlier. Poses are (K, 3) float32: shift x, shift y in frame pixels
and angle in radians, counter-clockwise as seen.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.errors import UsageError

Floats = NDArray[np.float32]

LEAST_POINTS = 16

WEAKEST = 0.2
"""Share of the strong edges' steepness (98 % quantile) that an edge of the reference must have."""

SOFT = 0.3
"""Share of an edge's steepness in the reference at which a gradient in the frame counts about half."""

DIMMEST, BRIGHTEST = 0.35, 3.0
"""Bounds of the contrast in the frame as a multiple of the reference's."""

_CELLS = 10  # columns and rows among which the points are spread
_DAMPING = 1e-3


class Agreement(NamedTuple):
    """How edge points agree with a frame.

    Attributes:
        each: (K, N) in [-1, 1]; 0 outside the frame.
        inside: (K, N) bool: the point lies in the frame.
        gain: (K, 1) contrast as a multiple of the reference's.
    """

    each: Floats
    inside: NDArray[np.bool_]
    gain: Floats

    @property
    def seen(self) -> Floats:
        """(K,): share of the points that lie in the frame."""
        return np.asarray(self.inside.mean(1), np.float32)

    @property
    def confidence(self) -> Floats:
        """(K,): mean over the points in the frame, in [0, 1]."""
        return np.asarray(np.maximum(self.each.sum(1) / np.maximum(self.inside.sum(1), 1), 0), np.float32)


def gradient(grey: Floats) -> tuple[Floats, Floats]:
    """Return the gradient of a (H, W) float32 picture in grey levels per pixel, along x and y."""
    x, y = (cv2.Scharr(grey, cv2.CV_32F, *d, scale=1 / 32, borderType=cv2.BORDER_REPLICATE) for d in ((1, 0), (0, 1)))
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def edges(grey: Floats) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Return the gradient's size and direction (x, y), and which pixels are the ridge of an edge; each (H, W)."""
    gx, gy = gradient(grey)
    size = np.asarray(np.hypot(gx, gy), np.float32)
    nx, ny = (np.asarray(each / np.maximum(size, 1e-6), np.float32) for each in (gx, gy))
    rows, columns = np.indices(grey.shape, np.float32)
    ahead = cv2.remap(size, columns + nx, rows + ny, cv2.INTER_LINEAR)
    behind = cv2.remap(size, columns - nx, rows - ny, cv2.INTER_LINEAR)
    return size, nx, ny, (size >= ahead) & (size > behind)


class EdgePoints:
    """Edge points of one level of the reference picture.

    Attributes:
        at: (N, 2) x, y against the part's centre, in frame pixels.
        normal: (N, 2) direction from dark to bright, length 1.
    """

    def __init__(self, at: Floats, normal: Floats, grey: Floats, size: tuple[int, int], centre: Floats) -> None:
        """Remember how the reference itself looks at the points, so that it is aligned with itself exactly.

        Args:
            at: (N, 2), as the attribute.
            normal: (N, 2), as the attribute.
            grey: (H, W) float32: the level of the reference.
            size: The frame's width and height.
            centre: (2,) x, y of the part's centre in the reference, in frame pixels.
        """
        self.at, self.normal, self.size, self._centre = at, normal, size, np.asarray(centre, np.float32)
        self._scale = np.array([size[0] / grey.shape[1], size[1] / grey.shape[0]], np.float32)
        self._limit = np.array(size, np.float32) - 2
        self._both = np.concatenate([self.at, self.normal]).astype(np.float32)
        self._damping = np.diag(np.array([1, 1, np.abs(self.at).max() ** 2], np.float32)) * np.float32(_DAMPING)
        _, position, normals = self._placed(np.zeros((1, 3), np.float32))
        offset, self._steepness = (values[0] for values in _steepest(self._profiles(grey, position, normals, 2), 2))
        self._offset = np.clip(offset, -1, 1)
        along, across = self._crosses(grey, position, normals)
        self._reference = np.maximum(np.hypot(along, across)[0], 1e-3)

    @classmethod
    def select(
        cls, grey: Floats, size: tuple[int, int], part: NDArray[np.uint8], centre: Floats, count: int
    ) -> EdgePoints:
        """Take the strongest edges of a level, spread over the part.

        Args:
            grey: (H, W) float32: the level.
            size: The frame's width and height.
            part: (H, W) uint8: not 0 on the part.
            centre: x, y of the part's centre, in frame pixels.
            count: At most so many points.

        Raises:
            UsageError: The part has hardly any edges.
        """
        steepness, nx, ny, ridge = edges(grey)
        strong = WEAKEST * np.quantile(steepness[part > 0], 0.98) if part.any() else 0.0
        y, x = np.nonzero(ridge & (part > 0) & (steepness > max(strong, 0.5)))
        order = np.argsort(-steepness[y, x], kind="stable")
        y, x = y[order], x[order]
        if len(y) < LEAST_POINTS:
            raise UsageError(
                f"alignment part: only {len(y)} pixels of the reference's part are edges, and {LEAST_POINTS} are "
                "needed; name a rectangle round the part that shows its outline, or use --align none"
            )
        cell = (y - y.min()) * _CELLS // (np.ptp(y) + 1) * _CELLS + (x - x.min()) * _CELLS // (np.ptp(x) + 1)
        grouped = np.argsort(cell, kind="stable")
        rank = np.empty(len(cell), int)
        rank[grouped] = np.arange(len(cell)) - np.searchsorted(cell[grouped], cell[grouped])
        keep = np.argsort(rank, kind="stable")[:count]  # the strongest of each cell, then the next of each
        y, x = y[keep], x[keep]
        scale = np.array([size[0] / grey.shape[1], size[1] / grey.shape[0]], np.float32)
        at = (np.stack([x, y], 1) + 0.5) * scale - 0.5 - centre
        return cls(np.asarray(at, np.float32), np.stack([nx[y, x], ny[y, x]], 1), grey, size, centre)

    @classmethod
    def joined(cls, several: Sequence[EdgePoints]) -> EdgePoints:
        """Return the points of several, one after the other; they are of the same reference and level."""
        points = copy.copy(several[0])
        for name in ("at", "normal", "_offset", "_steepness", "_reference"):
            setattr(points, name, np.concatenate([getattr(each, name) for each in several]))
        points._both = np.concatenate([points.at, points.normal])  # noqa: SLF001 (an object of this class)
        return points

    def __len__(self) -> int:
        return len(self.at)

    def refine(self, grey: Floats, poses: Floats, reach: int, *, turn: bool = True) -> Floats:
        """Return the poses after one step towards the edges of a frame.

        Args:
            grey: (H, W) float32: the frame at this level.
            poses: (K, 3).
            reach: How far from a point its edge is looked for, in pixels of the level.
            turn: The angle may change; otherwise only the shift.
        """
        turned, position, normals = self._placed(poses)
        place, steepness = _steepest(self._profiles(grey, position, normals, reach), reach)
        place -= self._offset
        found = self._inside(position) & (np.abs(place) <= reach)
        gain = _gain(steepness, self._steepness, found)
        found &= steepness > 0.25 * gain * self._steepness
        slopes = np.empty((*normals.shape[:2], 3), np.float32)
        slopes[..., :2] = normals
        slopes[..., 2] = normals[..., 0] * turned[..., 1] - normals[..., 1] * turned[..., 0] if turn else 0
        pixel = float(self._scale.mean())
        distance = place * pixel
        step = self._solve(slopes, found.astype(np.float32), distance)
        error = (distance - (slopes @ step[..., None])[..., 0]) / np.float32(max(2.0, 0.5 * reach) * pixel)
        weight = np.square(np.maximum(1 - error * error, 0)) * found
        step = self._solve(slopes, weight, distance)
        return poses + step

    def agreement(self, grey: Floats, poses: Floats) -> Agreement:
        """Return how well the frame's gradients at the points have the direction and strength of the reference's."""
        _, position, normals = self._placed(poses)
        along, across = self._crosses(grey, position, normals)
        inside = self._inside(position)
        gain = _gain(along, self._reference, inside)
        size = np.hypot(along, across) + SOFT * gain * self._reference
        return Agreement(np.minimum(along * (1 + SOFT) / size, 1) * inside, inside, gain)

    def sameness(self, grey: Floats, poses: Floats, gain: Floats) -> Floats:
        """Return (K, N) in [-1, 1]: 1 where the frame has an edge of the point's direction, light or dark, 0 for none.

        It is cos(2 d) for an angle of d between the gradients: the lamp may make either side of an edge the bright one.
        """
        _, position, normals = self._placed(poses)
        along, across = self._crosses(grey, position, normals)
        size = along * along + across * across
        soft = np.square(SOFT * gain * self._reference)
        return np.asarray((along * along - across * across) / (size + soft) * self._inside(position), np.float32)

    def covered(self, poses: Floats, inner: Floats) -> NDArray[np.bool_]:
        """Return (K, N): which points, at their poses, lie in the part's own bounds when it lies at pose `inner`."""
        _, position, _ = self._placed(poses)
        c, s = np.cos(inner[2]), np.sin(inner[2])
        back = (position - self._centre - inner[:2]) @ np.array([[c, s], [-s, c]], np.float32)
        low, high = self.at.min(0) - 2, self.at.max(0) + 2
        return np.asarray(((back >= low) & (back <= high)).all(-1))

    def _placed(self, poses: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the points turned, their positions in the frame and their normals, each (K, N, 2)."""
        turn = np.empty((len(poses), 2, 2), np.float32)
        turn[:, 0, 0] = turn[:, 1, 1] = np.cos(poses[:, 2])
        turn[:, 1, 0] = np.sin(poses[:, 2])
        turn[:, 0, 1] = -turn[:, 1, 0]
        both = self._both @ turn
        turned = both[:, : len(self.at)]
        return turned, turned + (self._centre + poses[:, None, :2]), both[:, len(self.at) :]

    def _inside(self, position: Floats) -> NDArray[np.bool_]:
        return np.asarray(((position >= 1) & (position <= self._limit)).all(-1))

    def _profiles(self, grey: Floats, position: Floats, normals: Floats, reach: int) -> Floats:
        """Return (K, N, 2 reach + 1): the rise along the normals, at whole distances in pixels of the level."""
        base = (position + np.float32(0.5)) / self._scale - np.float32(0.5)
        steps = _places(reach)
        x = base[..., 0, None] + normals[..., 0, None] * steps
        y = base[..., 1, None] + normals[..., 1, None] * steps
        values = _sample(grey, x, y)
        return values[..., 1:] - values[..., :-1]

    def _crosses(self, grey: Floats, position: Floats, normals: Floats) -> tuple[Floats, Floats]:
        """Return (K, N) twice: the rise over two pixels of the level along the normals, and across them."""
        base = (position + np.float32(0.5)) / self._scale - np.float32(0.5)
        places = np.empty((2, *position.shape[:2], 4), np.float32)
        for axis, across in ((0, -normals[..., 1]), (1, normals[..., 0])):
            middle, along = base[..., axis], normals[..., axis]
            np.add(middle, along, places[axis, ..., 0])
            np.subtract(middle, along, places[axis, ..., 1])
            np.add(middle, across, places[axis, ..., 2])
            np.subtract(middle, across, places[axis, ..., 3])
        values = _sample(grey, *places)
        return values[..., 0] - values[..., 1], values[..., 2] - values[..., 3]

    def _solve(self, slopes: Floats, weight: Floats, distance: Floats) -> Floats:
        weighted = (slopes * weight[..., None]).transpose(0, 2, 1)
        return np.asarray(
            np.linalg.solve(weighted @ slopes + self._damping, weighted @ distance[..., None])[..., 0], np.float32
        )


def relative(poses: Floats, to: Floats) -> Floats:
    """Return (K, 3) poses against the reference, instead of a frame whose part lies at (3,) `to`."""
    c, s = np.cos(to[2]), np.sin(to[2])
    back = np.array([[c, s], [-s, c]], np.float32)  # rows times it are turned back
    return np.column_stack([(poses[:, :2] - to[:2]) @ back, poses[:, 2] - to[2]]).astype(np.float32)


@cache
def _places(reach: int) -> Floats:
    """Return half-way places along a normal, from -reach - 1/2 to reach + 1/2."""
    return np.arange(-reach - 0.5, reach + 1, dtype=np.float32)


@cache
def _window(reach: int) -> Floats:
    """Return the weight of a rise by its distance: 1 here, about half at the reach."""
    return np.asarray(1 - 0.5 * np.square(np.arange(-reach, reach + 1) / (reach + 1)), np.float32)


def _sample(grey: Floats, x: Floats, y: Floats) -> Floats:
    """Return the picture between its pixels at (K, N, S) places."""
    k, n, s = x.shape
    # A picture of places may have at most 32,766 rows and columns.
    x, y = x.reshape(k, n * s), y.reshape(k, n * s)
    values = cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(values, np.float32).reshape(k, n, s)


def _steepest(rises: Floats, reach: int) -> tuple[Floats, Floats]:
    """Return (K, N) twice: the place of the steepest rise, below the pixel, and how steep it is. Near ones win."""
    window = _window(reach)
    k, n, s = rises.shape
    index = np.minimum(np.maximum((rises * window).argmax(-1), 1), s - 2)
    flat = rises.reshape(-1)
    where = index + np.arange(k * n).reshape(k, n) * s
    before, here, after = flat[where - 1], flat[where], flat[where + 1]
    bend = np.minimum(before - 2 * here + after, np.float32(-1e-6))
    beyond = np.minimum(np.maximum(0.5 * (before - after) / bend, -1), 1)
    return np.asarray(index - reach + beyond, np.float32), here


def _gain(steepness: Floats, reference: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Return (K, 1): the contrast of the frame as a multiple of the reference's."""
    seen = (np.minimum(np.maximum(steepness, 0), BRIGHTEST * reference) * valid).sum(1)
    gain = seen / np.maximum((valid * reference).sum(1), 1e-6)
    return np.asarray(np.minimum(np.maximum(gain, DIMMEST), BRIGHTEST)[:, None], np.float32)
