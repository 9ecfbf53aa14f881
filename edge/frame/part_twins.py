"""Other poses in which a part looks nearly the same, and the few edges that tell them apart.

A square plate looks the same turned by half a turn, but for its label. Such a pose is a *twin*: a movement of the part
onto itself after which most edges meet. The edges that only one of both has decide: those of the part as it should lie
(`own`), and those that would be seen at the same places if it lay in the twin's pose (`other`). Edges count without
their sign, because the lamp, not the part, decides which side of a chamfer is bright.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.frame.part_edges import WEAKEST, Agreement, EdgePoints, Floats, edges

CLEAR = 0.3
"""The least evidence, from -1 to 1, by which the part lies as it should."""

LAMP = 1.45
"""A part in a twin's pose may be found with so many times the confidence with which the reference resembles itself.

The reference turned onto itself is lit from a wrong side, and a real part in the twin's pose is not.
"""

_MOST = 48  # edges of each of both kinds
_LEAST = 12  # edges of both kinds together: with fewer, the two poses look the same
_NEAR = 2  # pixels: an edge of the same direction within them is the same edge, lit from another side
_BINS = 8  # directions, over half a turn
_AROUND = 4  # pixels of the level: turned against the lamp, a part's chamfers seem to be shifted by so much
_AT_REST, _SAME = np.zeros((1, 3), np.float32), np.ones((1, 1), np.float32)
_SEEN = 0.6  # share of the reference's own agreement from which a part is seen in the twin's pose


@dataclass(frozen=True)
class Twin:
    """One such pose.

    Attributes:
        move: (3,) shift x, y in frame pixels and angle in radians: the part's movement onto itself.
        own: Edges that only the part as it should lie has, or None.
        other: Edges that only the part in the twin's pose has, or None.
        confidence: With which the reference resembles itself after the movement.
    """

    move: Floats
    own: EdgePoints | None
    other: EdgePoints | None
    confidence: float

    def pose_of(self, pose: Floats) -> Floats:
        """Return the (3,) pose in which the part really lies if its twin was found at (3,) `pose`."""
        angle = pose[2] - self.move[2]
        c, s = np.cos(angle), np.sin(angle)
        x, y = self.move[:2]
        turned = np.array([c * x + s * y, -s * x + c * y])
        return np.array([*(pose[:2] - turned), angle], np.float32)


class Twins:
    """All twins of a part, compared with a frame at once.

    Args:
        twins: The twins.
        grey: (H, W) float32: the level of the reference from which they were made.
        pixel: Frame pixels per pixel of the level.
    """

    def __init__(self, twins: Sequence[Twin], grey: Floats, pixel: float) -> None:
        self._twins, self._grey, self._pixel = list(twins), grey, pixel
        parts = [(n, sign, p) for n, t in enumerate(twins) for sign, p in ((1, t.own), (-1, t.other)) if p is not None]
        self._points = EdgePoints.joined([points for _, _, points in parts]) if parts else None
        self._mean = np.zeros((len(self._twins), 0 if self._points is None else len(self._points)), np.float32)
        start = 0
        for number, sign, points in parts:
            self._mean[number, start : start + len(points)] = sign / len(points)
            start += len(points)
        self._most = LAMP * np.array([each.confidence for each in self._twins], np.float32)
        self._right = np.zeros(0, np.float32)
        if self._points is not None:
            self._right = self._mean @ self._points.sameness(grey, _AT_REST, _SAME)[0]

    def __len__(self) -> int:
        return len(self._twins)

    def evidence(self, grey: Floats, pose: Floats, agreement: Agreement) -> Floats:
        """Return (twins,): 1 if a frame shows the part as it lies at `pose`, -1 in the twin's pose, 0 neither.

        It is 1 as well where the part agrees better than a part in the twin's pose could.

        Args:
            grey: (H, W) float32: the level of the frame.
            pose: (3,).
            agreement: Of the part at this pose with the frame.
        """
        if self._points is None:
            return np.zeros(0, np.float32)
        found = (self._mean @ self._points.sameness(grey, pose[None], agreement.gain)[0]) / self._right
        return np.asarray(np.where(agreement.confidence > self._most, 1, found), np.float32)

    def real_pose(self, grey: Floats, pose: Floats, agreement: Agreement, evidence: Floats) -> Floats | None:
        """Return the (3,) twin's pose in which a frame shows the part that was found at `pose`; None if in none.

        The edges of a twin are looked for a little around their place as well.
        """
        steps = np.arange(-_AROUND, _AROUND + 1) * np.float32(self._pixel)
        around = np.zeros((len(steps) ** 2, 3), np.float32)
        around[:, :2] = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
        most, best = _SEEN, None
        for each, found in zip(self._twins, evidence, strict=True):
            if found >= CLEAR or each.own is None:
                continue
            poses = each.pose_of(pose) + around
            seen = each.own.sameness(grey, poses, agreement.gain).mean(1)
            index = int(seen.argmax())
            share = float(seen[index] / each.own.sameness(self._grey, _AT_REST, _SAME).mean())
            if share > most:
                most, best = share, poses[index]
        return best


def twin(
    grey: Floats, size: tuple[int, int], part: NDArray[np.uint8], centre: Floats, move: Floats, confidence: float
) -> Twin | None:
    """Return the twin of a movement of the part onto itself; None if nothing tells the two apart.

    Args:
        grey: (H, W) float32: a level of the reference.
        size: The frame's width and height.
        part: (H, W) uint8: 1 on the part.
        centre: (2,) x, y of the part's centre in the reference, in frame pixels.
        move: (3,) the movement.
        confidence: With which the reference resembles itself after it.
    """
    scale = np.array([size[0] / grey.shape[1], size[1] / grey.shape[0]])
    middle = (np.asarray(centre) + 0.5) / scale - 0.5
    c, s = np.cos(move[2]), np.sin(move[2])
    turn = np.array([[c, s], [-s, c]])
    matrix = np.column_stack([turn, middle + move[:2] / scale - turn @ middle])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    shape = grey.shape[::-1]
    moved = cv2.warpAffine(grey, matrix, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    both = (part > 0) & (cv2.warpAffine(part, matrix, shape, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP) > 0)
    strong = WEAKEST * float(np.quantile(edges(grey)[0][part > 0], 0.98))
    own = _only(grey, moved, both, strong, size, centre)
    other = _only(moved, grey, both, strong, size, centre)
    if sum(len(points) for points in (own, other) if points is not None) < _LEAST:
        return None
    return Twin(np.asarray(move, np.float32), own, other, confidence)


def _only(
    grey: Floats, rival: Floats, where: NDArray[np.bool_], strong: float, size: tuple[int, int], centre: Floats
) -> EdgePoints | None:
    """Return the strongest edges of a picture that its rival has no edge of the same direction near."""
    steepness, nx, ny, ridge = edges(grey)
    rival_steepness, rival_nx, rival_ny, _ = edges(rival)
    around = np.ones((2 * _NEAR + 1,) * 2, np.uint8)
    index = np.round(np.arctan2(ny, nx) / np.pi * _BINS).astype(int) % _BINS
    absent = np.zeros(grey.shape, bool)
    for number in range(_BINS):
        c, s = np.cos(number * np.pi / _BINS), np.sin(number * np.pi / _BINS)
        like = (np.abs(rival_nx * c + rival_ny * s) > 0.8) & (rival_steepness > 0.4 * strong)
        absent |= (index == number) & (cv2.dilate(like.astype(np.uint8), around) == 0)
    y, x = np.nonzero(ridge & absent & where & (steepness > 1.5 * strong))
    if not len(y):
        return None
    keep = np.argsort(-steepness[y, x], kind="stable")[:_MOST]
    y, x = y[keep], x[keep]
    scale = np.array([size[0] / grey.shape[1], size[1] / grey.shape[0]])
    at = np.float32((np.stack([x, y], 1) + 0.5) * scale - 0.5 - centre)
    return EdgePoints(at, np.stack([nx[y, x], ny[y, x]], 1), grey, size, centre)
