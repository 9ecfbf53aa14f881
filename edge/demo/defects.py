"""Renders the defects of a flange, each on a patch of the part, and the masks of their visible pixels.

A defect changes the part's height field or its colour, so its mask is known exactly: the pixels whose grey level
differs noticeably from the same part without the defect.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from edge_inspect.edge.demo.flange import (
    HALF,
    HOLES,
    SIDE,
    Bytes,
    Change,
    Floats,
    Geometry,
    Look,
    f32,
    grid,
    noise_banks,
    part_geometry,
    random_cut,
    shade,
)

DEFECTS: tuple[str, ...] = ("scratch", "dent", "stain", "missing_hole")
PATCH = 160  # side of the square of the part that a defect can change
_NOTICEABLE = 8.0  # grey levels

_Layers = TypeVar("_Layers", Geometry, Look)


def _patch(layers: _Layers, top: int, left: int) -> _Layers:
    cut = np.s_[top : top + PATCH, left : left + PATCH]
    return replace(layers, **{name: array[cut] for name, array in vars(layers).items() if array.ndim == 2})


@cache
def _flat_metal() -> npt.NDArray[np.intp]:
    """Return (N, 2) rows and columns of the metal where a surface defect may sit."""
    metal = cv2.erode(f32(part_geometry(None).albedo > 0.6), np.ones((15, 15), np.uint8))
    return np.argwhere(metal * (np.hypot(*grid()) > 53))


def _all_colours(gain: Floats) -> Floats:
    return f32(np.broadcast_to(gain, (3, *gain.shape)))


def _scratch(rng: np.random.Generator, x: Floats, y: Floats, strength: float) -> Change:
    """Draw a thin curve cut into the metal: a bright or dark groove with a lip that catches the light."""
    length, angle, bend = rng.uniform(45, 125), rng.uniform(0, np.pi), rng.normal(0, 0.14)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    t = np.linspace(-0.5, 0.5, 24)[:, None]
    aside = bend * length * (4 * t * t - 0.5) + 0.3 * np.cumsum(rng.normal(0, 1, (24, 1)), axis=0)
    points = np.rint((length * t * along + aside * across - [x[0, 0], y[0, 0]]) * 3 * 16).astype(np.int32)
    groove = np.zeros((3 * PATCH, 3 * PATCH), np.uint8)
    thick = int(rng.integers(3, 6))
    for number in range(23):  # fainter towards the ends, where the tool lifts off
        depth = 255 * min(1.0, 0.35 + 3.2 * (0.5 - abs(number - 11) / 23))
        cv2.line(groove, points[number].tolist(), points[number + 1].tolist(), depth, thick, cv2.LINE_AA, 4)
    cut = f32(cv2.GaussianBlur(cv2.resize(groove, x.shape, interpolation=cv2.INTER_AREA), (0, 0), 0.5)) / 255
    tone = rng.uniform(0.35, 0.65) if rng.random() < 0.6 else -rng.uniform(0.35, 0.55)
    slope_x, slope_y = (cv2.Sobel(cut, cv2.CV_32F, *d, scale=-0.2 * strength) for d in ((1, 0), (0, 1)))
    return Change(slope_x, slope_y, _all_colours(1 + np.float32(tone * strength) * cut))


def _dent(rng: np.random.Generator, x: Floats, y: Floats, strength: float) -> Change:
    """Draw a shallow, slightly oval hollow: one side turned to the lamp, the other away, a soft shadow in it."""
    radius, stretch, angle = rng.uniform(4.5, 10), rng.uniform(1.0, 1.5), rng.uniform(0, np.pi)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = (c * x + s * y) / np.float32(radius * stretch), (c * y - s * x) / np.float32(radius)
    hollow = cv2.exp(-0.5 * (u * u + v * v))
    steep = np.float32(strength * rng.uniform(0.4, 0.9)) * hollow
    u = u / np.float32(stretch)
    return Change(
        steep * (c * u - s * v), steep * (s * u + c * v), _all_colours(1 - np.float32(0.2 * strength) * hollow)
    )


def _stain(rng: np.random.Generator, x: Floats, y: Floats, strength: float) -> Change:
    """Draw an irregular translucent blot of oil, grease or rust, darker along its rim where it dried."""
    distance = np.hypot(x, y) / np.float32(rng.uniform(12, 30))
    blot = 1 - distance + np.float32(0.3) * random_cut(noise_banks().cloud, PATCH, PATCH, rng) * (distance < 2)
    rise = np.clip(blot / np.float32(0.25), 0, 1)
    cover = rise * rise * (3 - 2 * rise) * (1 + np.float32(0.5) * cv2.exp(-(((blot - 0.18) / 0.1) ** 2)))
    keeps = f32(((0.18, 0.42, 0.62), (0.25, 0.27, 0.29), (0.12, 0.36, 0.72))[rng.integers(3)])
    opacity = np.float32(strength * rng.uniform(0.25, 0.55))
    still = np.zeros_like(x)
    return Change(still, still, f32(1 - np.minimum(opacity * cover, 1) * (1 - keeps[:, None, None])))


_MAKERS = {"scratch": _scratch, "dent": _dent, "stain": _stain}


def difference(look: Look, good: Floats, defect: str, seed: int, strength: float) -> tuple[Floats, int, int]:
    """Return the change that `defect` makes to the lit part, (PATCH, PATCH, 4) float32, and its top and left."""
    rng = np.random.default_rng([seed, 1 + DEFECTS.index(defect)])
    hole = int(rng.integers(len(HOLES))) if defect == "missing_hole" else None
    row, column = _flat_metal()[rng.integers(len(_flat_metal()))] if hole is None else np.add(HOLES[hole][1::-1], HALF)
    top, left = (int(np.clip(at - PATCH // 2, 0, SIDE - PATCH)) for at in (row, column))
    x, y = (axis[top : top + PATCH, left : left + PATCH] for axis in grid())
    offset_x, offset_y = np.float32(column - HALF), np.float32(row - HALF)
    change = None if hole is not None else _MAKERS[defect](rng, x - offset_x, y - offset_y, strength)
    bad = shade(_patch(part_geometry(hole), top, left), _patch(look, top, left), change)
    return bad - good[top : top + PATCH, left : left + PATCH], top, left


def noticeable(delta: list[Floats]) -> Bytes:
    """Return a mask that is 255 where one of three planes of grey levels is visible, without small gaps and specks."""
    largest = np.maximum(np.maximum(abs(delta[0]), abs(delta[1])), abs(delta[2]))
    seen = cv2.compare(largest, _NOTICEABLE, cv2.CMP_GT)
    seen = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(seen)
    keep = np.zeros(count, np.uint8)
    keep[1:] = (stats[1:, cv2.CC_STAT_AREA] >= 8) * np.uint8(255)
    return np.asarray(keep[labels], np.uint8)
