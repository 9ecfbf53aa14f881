"""Rendered frames of parts that do not lie still, with the truth about them, for tests and benchmarks of the alignment.

Two products: the demo's flange, which looks nearly the same turned by a quarter of a turn, and a bracket, which has no
symmetry and hardly any contrast against its background. Every part is lit for the pose in which it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.demo.defects import PATCH, difference
from edge_inspect.edge.demo.flange import HALF, f32, noise_banks, part_geometry, random_cut, random_look, shade
from edge_inspect.edge.demo.line import HEIGHT, WIDTH
from edge_inspect.edge.frame.pose import Pose

Frame = NDArray[np.uint8]

FLANGE = (156, 76, 328, 328)
"""x, y, width, height round a flange that was not moved."""
BRACKET = (200, 130, 240, 220)
"""The same of a bracket."""
MIDDLE = (WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5)


class Part(NamedTuple):
    """Where a part lies.

    Attributes:
        shift: x and y in pixels from the frame's middle.
        angle: Degrees, counter-clockwise as seen.
        defect: One of `DEFECTS` (flange only), or None.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    defect: str | None = None


def errors(pose: Pose, part: Part, middle: tuple[float, float] = MIDDLE) -> tuple[float, float]:
    """Return by how many pixels a pose misses the truth at the part's middle, and by how many degrees."""
    turn = (pose.angle - part.angle + 180) % 360 - 180
    found = pose.to_frame @ (*middle, 1.0)
    return float(np.hypot(*(found - middle - part.shift))), abs(turn)


def drawn(rng: np.random.Generator, shift: float = 0.15, turn: float = 20.0, defect: str | None = None) -> Part:
    """Return a part shifted by up to a share of the frame and turned by up to so many degrees."""
    x, y = rng.uniform(-shift, shift, 2) * (WIDTH, HEIGHT)
    return Part((float(x), float(y)), float(rng.uniform(-turn, turn)), defect)


def flanges(seed: int, parts: Sequence[Part] = (Part(),), lamp: float = 1.0) -> Frame:
    """Render a frame of the demo's line with these parts on it: none, one or several, later ones on top."""
    rng = np.random.default_rng([seed, 0xA1])
    level, (fall_y, fall_x) = 255 * lamp * rng.uniform(0.92, 1.06), rng.normal(0, 0.05, 2)
    rows, columns = np.linspace(-fall_y, fall_y, HEIGHT), np.linspace(-fall_x, fall_x, WIDTH)
    light = np.add.outer(f32(level * (1 + rows)), f32(level * columns))
    belt = light * random_cut(noise_banks().belt, HEIGHT, WIDTH, rng)
    picture = cv2.merge([belt * np.float32(tint) for tint in (1.03, 1.0, 0.96)])
    for number, part in enumerate(parts):
        of_part = np.random.default_rng([seed, number, 0xA2])
        look = random_look(of_part, -np.deg2rad(part.angle))
        surface = shade(part_geometry(None), look)
        if part.defect is not None:
            change, top, left = difference(look, surface, part.defect, seed, 1.0)
            surface[top : top + PATCH, left : left + PATCH] += change
        matrix = cv2.getRotationMatrix2D((HALF - 0.5, HALF - 0.5), part.angle, 1.0)
        matrix[:, 2] += np.add((WIDTH / 2 - HALF, HEIGHT / 2 - HALF), part.shift)
        seen = cv2.warpAffine(surface, matrix, (WIDTH, HEIGHT), borderValue=(0, 0, 0, 1.0))
        seen = cv2.GaussianBlur(seen, (3, 3), float(of_part.uniform(0.45, 0.75)))
        picture = picture * seen[..., 3:] + seen[..., :3] * light[..., None]
    grain = random_cut(noise_banks().grain, HEIGHT, WIDTH, rng)
    return np.asarray(cv2.convertScaleAbs(cv2.scaleAdd(grain, rng.uniform(0.9, 1.8), f32(picture))), np.uint8)


_OUTLINE = ((-110, -95), (70, -95), (70, -40), (-50, -40), (-50, 20), (105, 60), (90, 95), (-110, 95))
_HOLES = ((-80, -68, 14), (40, -68, 9), (-80, 60, 20))


def bracket(seed: int, part: Part | None = None, contrast: float = 14.0) -> Frame:
    """Render a frame with a bracket, brighter than its background by `contrast` grey levels; None: an empty frame."""
    rng = np.random.default_rng([seed, 0xB1])
    cloud = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH), np.float32), (0, 0), 6)
    grey = 110 + 3 * cloud / cloud.std()
    if part is not None:
        over = 4
        cover = np.zeros((HEIGHT * over, WIDTH * over), np.uint8)
        angle = np.deg2rad(part.angle)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

        def placed(x: float, y: float) -> NDArray[np.int32]:
            at = turn @ (x, y) + part.shift + np.add(MIDDLE, 0.5)
            return np.rint((at * over - 0.5) * 16).astype(np.int32)

        cv2.fillPoly(cover, [np.stack([placed(x, y) for x, y in _OUTLINE])], 255, cv2.LINE_AA, 4)
        for x, y, radius in _HOLES:
            cv2.circle(cover, placed(x, y).tolist(), radius * over * 16, 0, cv2.FILLED, cv2.LINE_AA, 4)
        small = f32(cv2.resize(cover, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)) / 255
        grey = grey + contrast * cv2.GaussianBlur(small, (3, 3), 0.6)
    grain = random_cut(noise_banks().grain, HEIGHT, WIDTH, rng)
    return np.asarray(np.clip(grey[..., None] + 1.5 * grain + 0.5, 0, 255), np.uint8)


def other_product(seed: int, kind: str, part: Part) -> Frame:
    """Render another product on the demo's belt: `disc`, `plate` (without holes), `small`, `narrow` or `ring`."""
    rng = np.random.default_rng([seed, 0xC1])
    cover = np.zeros((2 * HEIGHT, 2 * WIDTH), np.float32)
    centre = tuple(int(2 * v) for v in np.add(MIDDLE, part.shift))
    sides = {"plate": (316, 316), "small": (270, 270), "narrow": (200, 316)}
    if kind in sides:
        corners = cv2.boxPoints((centre, tuple(2 * side for side in sides[kind]), -part.angle))
        cv2.fillConvexPoly(cover, np.rint(corners).astype(np.int32), 170.0)
    else:
        cv2.circle(cover, centre, 2 * {"disc": 158, "ring": 92}[kind], 170.0, cv2.FILLED)
    if kind != "plate":
        cv2.circle(cover, centre, 2 * {"small": 60, "narrow": 60, "disc": 40, "ring": 47}[kind], 20.0, cv2.FILLED)
    shown = cv2.resize(cover, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)[..., None]
    noisy = shown + rng.normal(0, 6, (HEIGHT, WIDTH, 3))
    return np.asarray(np.clip(np.where(shown > 60, noisy, flanges(seed, ())), 0, 255), np.uint8)


def glare(frame: Frame, at: tuple[float, float], radius: float) -> Frame:
    """Return the frame with a saturated spot round x, y."""
    y, x = np.mgrid[0 : frame.shape[0], 0 : frame.shape[1]].astype(np.float32)
    spot = 600 * np.exp(-np.square((np.square(x - at[0]) + np.square(y - at[1])) / (2 * radius * radius)))
    return np.asarray(np.clip(frame + spot[..., None], 0, 255), np.uint8)


def slanted(frame: Frame, across: float, down: float) -> Frame:
    """Return the frame with its light changed from side to side, by these shares of it in all."""
    x = np.linspace(-across / 2, across / 2, frame.shape[1])
    y = np.linspace(-down / 2, down / 2, frame.shape[0])
    return np.asarray(np.clip(frame * (1 + np.add.outer(y, x))[..., None], 0, 255), np.uint8)


def noisy(frame: Frame, sigma: float, seed: int) -> Frame:
    """Return the frame with noise of so many grey levels added."""
    noise = np.random.default_rng([seed, 0xD1]).normal(0, sigma, frame.shape)
    return np.asarray(np.clip(frame + noise + 0.5, 0, 255), np.uint8)


def defocused(frame: Frame, sigma: float) -> Frame:
    """Return the frame blurred by so many pixels."""
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), sigma), np.uint8)
