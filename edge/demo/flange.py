"""Renders a machined flange: its height field, the differences between parts, and the light that it reflects.

A part is a height field (chamfers, hub, bore, countersunk holes, stamped label) drawn once with supersampling and
cached as slopes. Every part has machining marks and sheen of its own, cut out of noise that is drawn once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

SIDE = 384  # the part's own square picture, in pixels of the frame
HALF = SIDE / 2
_HUB = 92.0  # radius
_ON_HUB = np.s_[96:288, 96:288]
# x, y, radius of the drilled hole, radius of its countersink
HOLES = (
    *((x, y, 14.0, 22.0) for x in (-117.0, 117.0) for y in (-117.0, 117.0)),
    *((x, 0.0, 6.5, 9.5) for x in (-127.0, 127.0)),
)
_LIGHT = np.array([-0.48, -0.56, 0.67])


@dataclass(frozen=True)
class Geometry:
    """The shape that all parts share, as arrays of (SIDE, SIDE), or the same patch of each."""

    slope_x: Floats
    slope_y: Floats
    albedo: Floats  # 0 in the holes, darker in corners that little light reaches
    through: Floats  # share of the belt that is visible: 1 beside the part, less in its shadow, little in the holes
    hub: Floats  # 1 where the part is turned on a lathe


class Finish(NamedTuple):
    """How the surface of a lot was finished; the defaults are the usual lot's.

    Attributes:
        marks: Depth of the machining marks.
        grain: Depth of the grain that blasting leaves.
        sheen: Brightness of the reflection that machining marks give.
        tint: Factor of each colour: B, G, R.
    """

    marks: float = 1.0
    grain: float = 0.0
    sheen: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


USUAL_FINISH = Finish()


@dataclass(frozen=True)
class Look:
    """The differences between good parts, in the part's own coordinates."""

    light: npt.NDArray[np.float64]
    texture: Floats
    sheen: Floats
    tint: Floats


@dataclass(frozen=True)
class Change:
    """The change that a defect makes to the surface of the part, or of a patch of it."""

    slope_x: Floats
    slope_y: Floats
    gain: Floats  # (3, H, W), multiplies the light that comes back


def f32(array: Any) -> Floats:
    """Return the array in single precision, in which all pictures here are computed."""
    return np.asarray(array, dtype=np.float32)


@cache
def grid() -> tuple[Floats, Floats]:
    """Return the x and y of every pixel in the part's own coordinates, whose origin is its middle."""
    axis = np.arange(SIDE, dtype=np.float32) - (HALF - 0.5)
    x, y = np.meshgrid(axis, axis)
    return f32(x), f32(y)


@cache
def part_geometry(missing: int | None) -> Geometry:
    """Return the part with all its holes, or without hole number `missing`."""
    over = 3
    axis = (np.arange(SIDE * over, dtype=np.float32) + 0.5) / over - HALF
    x, y = np.meshgrid(axis, axis)
    r = np.hypot(x, y)
    corner_x, corner_y = np.maximum(np.abs(x) - 112, 0), np.maximum(np.abs(y) - 112, 0)
    outside = np.hypot(corner_x, corner_y) - 46  # signed distance to the outline, exact where it is needed

    height = 4.5 * np.clip(-outside / 5, 0, 1) + 6 * np.clip((_HUB - r) / 4, 0, 1)
    height -= 1.8 * np.exp(-(((r - 72) / 1.7) ** 2)) + 5 * np.clip((52 - r) / 5, 0, 1)
    solid = (outside < 0) & (r > 47)
    depth_shade = np.exp(-np.maximum(r - _HUB, 0) / 5) * (r > _HUB - 1) * 0.3
    wall = np.clip((r - 38) / 9, 0, 1) * (r <= 47) * (0.10 + 0.13 * (x + y) / (r + 1e-3))
    for number, (hx, hy, radius, sink) in enumerate(HOLES):
        if number == missing:
            continue
        d = np.hypot(x - hx, y - hy)
        height -= np.clip(sink - d, 0, sink - radius) * 0.8
        solid &= d > radius
        wall += (
            np.clip((d - 0.6 * radius) / (0.4 * radius), 0, 1)
            * (d <= radius)
            * (0.07 + 0.13 * (x - hx + y - hy) / (d + 1e-3))
        )
    label = np.zeros(x.shape, np.uint8)
    for text, size, top, thick in (("EI-204", 1.75, 122, 6), ("6F", 1.15, -134, 4)):
        (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
        at = (int(HALF * over - w / 2), int((HALF + top) * over + h / 2))
        cv2.putText(label, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, 255, thick, cv2.LINE_AA)
    stamp = cv2.GaussianBlur(label.astype(np.float32) / 255, (0, 0), 1.2)
    height = cv2.GaussianBlur(f32(height - 1.6 * stamp), (0, 0), 1.1)

    def small(array: Any) -> Floats:
        return f32(cv2.resize(f32(array), (SIDE, SIDE), interpolation=cv2.INTER_AREA))

    cover = small(outside < 0)
    shadow = cv2.GaussianBlur(cv2.warpAffine(cover, np.array([[1.0, 0, 7], [0, 1, 8]]), (SIDE, SIDE)), (0, 0), 7.5)
    contact = cv2.GaussianBlur(cover, (0, 0), 2.5)
    metal = small(solid)
    hub = small(r < _HUB - 2)
    return Geometry(
        slope_x=small(cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=over / 8)) * metal,
        slope_y=small(cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=over / 8)) * metal,
        albedo=small(solid * (1 - depth_shade - 0.38 * stamp) + np.maximum(wall, 0)),
        through=f32((1 - cover) * (1 - 0.72 * shadow) * (1 - 0.45 * contact) + 0.22 * (cover - metal).clip(0, 1)),
        hub=hub * metal,
    )


@dataclass(frozen=True)
class Banks:
    """Noise that is drawn once; each frame uses cuts of it at random places, which makes rendering quick."""

    brush: Floats  # streaks along x
    lathe: Floats  # rows are radii, columns are angles, twice around
    cloud: Floats  # soft blots
    belt: Floats
    grain: Floats  # sensor noise, three channels; larger than a frame, as the belt is
    blast: Floats  # small pits


@cache
def noise_banks() -> Banks:
    """Return the noise of all parts and frames."""
    rng = np.random.default_rng(20240711)

    def noise(height: int, width: int, sigma_x: float, sigma_y: float) -> Floats:
        raw = rng.standard_normal((height, width), dtype=np.float32)
        if sigma_x or sigma_y:
            raw = cv2.GaussianBlur(raw, (0, 0), sigmaX=max(sigma_x, 0.01), sigmaY=max(sigma_y, 0.01))
        return f32(raw / raw.std())

    brush = noise(900, 900, 45, 0.5) + 0.75 * noise(900, 900, 12, 0.4) + 0.4 * noise(900, 900, 2.5, 0.4)
    once = noise(400, 1024, 60, 0.7) + 0.5 * noise(400, 1024, 14, 0.5) + 0.25 * noise(400, 1024, 2, 0.4)
    cloud = noise(900, 900, 13, 13) + 0.55 * noise(900, 900, 5, 5) + 0.25 * noise(900, 900, 2, 2)
    y, x = np.mgrid[0:1000, 0:1400].astype(np.float32)
    weave = np.cos(2 * np.pi * x / 7) * np.cos(2 * np.pi * y / 7)
    belt = 0.135 + 0.016 * weave + 0.012 * noise(1000, 1400, 0.8, 0.8) + 0.010 * noise(1000, 1400, 40, 3)
    belt += 0.008 * noise(1000, 1400, 30, 30)
    dust = cv2.GaussianBlur(f32(rng.random((1000, 1400)) > 0.9996), (0, 0), 0.8)
    return Banks(
        brush=brush / brush.std(),
        lathe=np.hstack([once, once]) / once.std(),
        cloud=cloud / cloud.std(),
        belt=f32(np.maximum(belt + 0.35 * dust, 0.03)),
        grain=rng.standard_normal((680, 840, 3), dtype=np.float32),
        blast=noise(900, 900, 1.3, 1.3),
    )


def random_cut(bank: Floats, height: int, width: int, rng: np.random.Generator) -> Floats:
    """Return a window of a noise bank at a random place; it is a view that must not be written to."""
    top, left = rng.integers(bank.shape[0] - height + 1), rng.integers(bank.shape[1] - width + 1)
    return bank[top : top + height, left : left + width]


@cache
def _polar() -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return arrays for the hub: column and row in the lathe bank, cosine and sine of twice the angle, and cover."""
    x, y = (axis[_ON_HUB] for axis in grid())
    angle = np.arctan2(y, x)
    column = f32((angle / (2 * np.pi) + 0.5) * 1024)
    hub = np.ascontiguousarray(part_geometry(None).hub[_ON_HUB])
    return column, f32(np.hypot(x, y) * 1.5), f32(np.cos(2 * angle)), f32(np.sin(2 * angle)), hub


def random_look(rng: np.random.Generator, turn: float, finish: Finish = USUAL_FINISH) -> Look:
    """Return light, machining marks and sheen of a part that is turned by `turn` radians.

    Args:
        rng: Random generator.
        turn: Angle in radians.
        finish: Finish of the part's lot.
    """
    azimuth = rng.normal(0, 0.06) - turn
    c, s = np.cos(azimuth), np.sin(azimuth)
    light = np.array([c * _LIGHT[0] - s * _LIGHT[1], s * _LIGHT[0] + c * _LIGHT[1], _LIGHT[2]])

    column, row, cos2, sin2, hub = _polar()
    marks = np.float32(finish.marks * rng.uniform(0.055, 0.085))
    texture = random_cut(noise_banks().brush, SIDE, SIDE, rng) * marks + np.float32(1)
    lathe = cv2.remap(random_cut(noise_banks().lathe, 200, 1025, rng), column, row, cv2.INTER_LINEAR)
    marks = np.float32(finish.marks * rng.uniform(0.055, 0.085))
    texture[_ON_HUB] += (lathe * marks + 1 - texture[_ON_HUB]) * hub
    if finish.grain:
        texture += random_cut(noise_banks().blast, SIDE, SIDE, rng) * np.float32(finish.grain)

    axis = np.arange(SIDE, dtype=np.float32) - HALF
    across = np.exp(-(((axis - rng.uniform(-90, 10)) / 105) ** 2)) * rng.uniform(0.26, 0.38)
    along = np.exp(-(((axis - rng.uniform(-80, 40)) / 260) ** 2))
    sheen = np.outer(f32(along), f32(across))
    # Turned metal shines in two opposite sectors, like a record.
    lean = 2 * (rng.normal(-0.75, 0.07) - turn)
    bow = 0.5 + 0.5 * (cos2 * np.float32(np.cos(lean)) + sin2 * np.float32(np.sin(lean)))
    sheen[_ON_HUB] += (bow * bow * bow * np.float32(rng.uniform(0.48, 0.58)) - np.float32(0.1) - sheen[_ON_HUB]) * hub
    tint = f32(f32([1.02, 1.0, 0.985]) + rng.normal(0, 0.006, 3)) * f32(finish.tint)
    return Look(light, texture, sheen * np.float32(finish.sheen), tint)


def shade(geometry: Geometry, look: Look, change: Change | None = None) -> Floats:
    """Return the lit part, (H, W, 4) float32: BGR from 0 to 1, and the share of the belt that is visible."""
    sx, sy, (lx, ly, lz) = geometry.slope_x, geometry.slope_y, f32(look.light)
    if change is not None:
        sx, sy = sx + change.slope_x, sy + change.slope_y
    nz2 = 1 / (1 + sx * sx + sy * sy)
    nz = np.sqrt(nz2)
    nx, ny = -sx * nz, -sy * nz
    diffuse = np.maximum(nz * lz + nx * lx + ny * ly, 0)
    # Glossy part: how far the normal is from the one that mirrors the lamp into the camera.
    dx, dy = nx - np.float32(0.55) * lx, ny - np.float32(0.55) * ly
    gloss = cv2.exp((dx * dx + dy * dy) * np.float32(-1 / (2 * 0.16**2)))
    value = 0.08 + np.float32(0.53) * diffuse + np.float32(0.42) * gloss + look.sheen * (nz2 * nz2)
    value *= look.texture * geometry.albedo
    value /= 1 + np.maximum(value - np.float32(0.66), 0) * np.float32(0.75)  # highlights roll off
    gains = np.ones(3, np.float32) if change is None else change.gain
    colours = [value * (gain * tint) for gain, tint in zip(gains, look.tint, strict=True)]
    return f32(cv2.merge([*colours, geometry.through]))
