"""Scenes: shapes in front of one another."""

from __future__ import annotations

import string

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.train.textures.arrays import Image, Rng, Size
from edge_inspect.train.textures.noise import fractal, streaks, unit
from edge_inspect.train.textures.paint import colour, colours, lit, overlay, shade
from edge_inspect.train.textures.surfaces import surface

_GLYPHS = np.array(list(string.ascii_letters + string.digits + "     .,:-+/%#()"))
_FONTS = (0, 1, 2, 3, 4, 5, 6, 7, 16, 18, 20)  # the Hershey faces of OpenCV; +16 is italic


def outline(rng: Rng, centre: NDArray[np.float64], radius: float) -> NDArray[np.int32]:
    """Draw a closed outline: ellipse, regular or irregular polygon, star, box or smooth blob."""
    kind, aspect, turn = int(rng.integers(6)), rng.uniform(0.3, 1), rng.uniform(0, 2 * np.pi)
    corners = int(rng.integers(3, 9)) if kind in (1, 2) else 2 * int(rng.integers(4, 10)) if kind == 3 else 40
    angle = np.arange(corners) * (2 * np.pi / corners)
    reach = np.ones(corners)
    if kind == 2:
        reach = rng.uniform(0.4, 1, corners)
    elif kind == 3:
        reach[::2] = rng.uniform(0.4, 0.9)
    elif kind == 4:  # a box with round corners
        reach = (np.abs(np.cos(angle)) ** 8 + np.abs(np.sin(angle)) ** 8) ** (-1 / 8)
    elif kind == 5:
        reach = 1 + sum(rng.normal(0, 0.3 / k) * np.cos(k * angle + rng.uniform(0, 6)) for k in range(2, 6))
    points = np.stack([np.cos(angle), aspect * np.sin(angle)], -1) * (radius * reach)[:, None]
    c, s = np.cos(turn), np.sin(turn)
    return (points @ np.array([[c, s], [-s, c]]) + centre).astype(np.int32)


def leaves(rng: Rng, size: Size) -> Image:
    """Draw dead leaves: power-law sizes, back to front; each has a tone, a gradient and a share of texture."""
    count, sort = int(np.exp(rng.uniform(np.log(40), np.log(500)))), rng.integers(3)
    small, large = rng.uniform(0.008, 0.03) * max(size), rng.uniform(0.15, 0.5) * max(size)
    power = -rng.uniform(0.3, 1.6)  # exponent of the tail of sizes
    radii = rng.uniform(large**power, small**power, count) ** (1 / power)
    radii = np.sort(radii)[::-1] if rng.random() < 0.4 else radii
    label = np.zeros(size, np.uint16)
    for index, radius in enumerate(radii, 1):
        centre = rng.uniform(0, 1, 2) * size[::-1]
        if sort == 0:
            cv2.circle(label, centre.astype(int).tolist(), int(radius), index, -1)
        else:
            cv2.fillPoly(label, [outline(rng, centre, radius)], index)
    leaf = np.column_stack([rng.normal(0, 0.7, (count + 1, 2)), rng.uniform(-1, 1, (count + 1, 2)) ** 3])
    slope_x, slope_y, share_a, share_b = np.take(leaf.T.astype(np.float32), label, axis=1)
    y, x = np.linspace(-0.5, 0.5, size[0], dtype=np.float32)[:, None], np.linspace(-0.5, 0.5, size[1], dtype=np.float32)
    light = 1 + slope_x * x + slope_y * y + share_a * (streaks(rng, size) - np.float32(0.5))
    light += share_b * (unit(fractal(rng, size, 0.7)) - np.float32(0.5))
    image = lit(np.take(colours(rng, count + 1), label, axis=0), light)
    if rng.random() < 0.5:
        edge = cv2.morphologyEx(label, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) == 0
        depth = np.minimum(cv2.distanceTransform(edge.astype(np.uint8), cv2.DIST_L2, 3), rng.uniform(3, 20))
        image = shade(image, np.sqrt(depth), rng)
    return image


def objects(rng: Rng, size: Size) -> Image:
    """Draw one to a few solid objects on a background, each with a shadow, its own surface, roundness and parts."""
    image = surface(rng, size)
    count = int(rng.choice([1, 1, 1, 2, 3, 5]))
    for _ in range(count):
        mask = np.zeros(size, np.uint8)
        centre = rng.uniform(0.3, 0.7, 2) if count == 1 else rng.uniform(0.05, 0.95, 2)
        centre, radius = centre * size[::-1], rng.uniform(0.25, 0.5) * max(size) / count**0.4
        cv2.fillPoly(mask, [outline(rng, centre, radius)], 255, cv2.LINE_AA)
        for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):  # holes and notches
            cv2.fillPoly(mask, [outline(rng, centre + rng.normal(0, radius / 3, 2), radius / 4)], 0, cv2.LINE_AA)
        alpha, front = mask.astype(np.float32) / np.float32(255), surface(rng, size)
        for _ in range(rng.choice([0, 1, 2, 4])):  # parts, concentric or scattered
            offset = rng.normal(0, radius / 3, 2) * rng.integers(2)
            part = outline(rng, centre + offset, radius * rng.uniform(0.1, 0.7))
            if rng.random() < 0.4:
                cv2.polylines(front, [part], True, colour(rng), int(rng.integers(1, 4)), cv2.LINE_AA)
            else:
                cv2.fillPoly(front, [part], colour(rng), cv2.LINE_AA)
        if rng.random() < 0.7:
            depth = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
            bevel = np.float32(rng.uniform(0.05, 1) * max(1.0, float(depth.max())))
            dome = np.sqrt(np.maximum(1 - (1 - np.minimum(depth / bevel, 1)) ** 2, 0))
            front = shade(front, cv2.GaussianBlur(dome, (5, 5), 0), rng)
        if rng.random() < 0.7:
            move = np.array([[1, 0, rng.normal(0, radius / 8)], [0, 1, rng.normal(0, radius / 8)]], np.float32)
            shadow = cv2.blur(cv2.warpAffine(alpha, move, size[::-1]), (int(rng.integers(1, 4 + radius / 4)),) * 2)
            image = lit(image, 1 - np.float32(rng.uniform(0.2, 0.8)) * shadow)
        image = overlay(image, front, alpha)
    return image


def _tile(rng: Rng, side: int) -> Image:
    """Draw a small element on a background: a screw head, a ring, a hole, a glyph or nested shapes."""
    tile = np.full((side, side, 3), colours(rng, 1), np.uint8)
    centre, radius, kind = (side // 2, side // 2), max(2, int(side * rng.uniform(0.2, 0.48))), rng.integers(4)
    if kind <= 1:
        cv2.circle(tile, (centre[0] + 1, centre[1] + 1), radius, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(tile, centre, radius, colour(rng), -1, cv2.LINE_AA)
        cv2.circle(tile, centre, int(radius * rng.uniform(0.2, 0.9)), colour(rng), int(rng.choice([-1, 1, 2])), 16)
    if kind == 1:  # the slot or the cross
        for turn in (0, 90)[: rng.integers(1, 3)]:
            reach = (int(radius * 0.7), max(1, radius // 6))
            cv2.ellipse(tile, centre, reach, turn + rng.integers(90), 0, 360, colour(rng), -1, 16)
    elif kind == 2:
        scale = side / 40
        cv2.putText(
            tile,
            str(rng.choice(_GLYPHS[:62])),
            (side // 5, side * 4 // 5),
            0,
            scale,
            colour(rng),
            max(1, side // 16),
            cv2.LINE_AA,
        )
    elif kind == 3:
        for _ in range(rng.integers(1, 4)):
            closed = outline(rng, np.array(centre), radius * rng.uniform(0.3, 1))
            cv2.fillPoly(tile, [closed], colour(rng), cv2.LINE_AA)
    return tile


def repeats(rng: Rng, size: Size) -> Image:
    """Draw a grid of one or two elements, some of them missing, on their own background or on a surface."""
    side = int(np.exp(rng.uniform(np.log(8), np.log(max(size) / 2 + 9))))
    tiles = np.stack([_tile(rng, side) for _ in range(2)])
    rows, columns = -(-size[0] // side), -(-size[1] // side)
    index = np.indices((rows, columns)).sum(0) % 2 if rng.random() < 0.5 else np.zeros((rows, columns), int)
    index = np.where(rng.random((rows, columns)) < rng.choice([0, 0.1, 0.5]), 1, index)
    page = tiles[index].transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, 3)[: size[0], : size[1]]
    if rng.random() < 0.6:
        ground = (page == tiles[0, 0, 0]).all(-1) | (page == tiles[1, 0, 0]).all(-1)
        page = overlay(page, surface(rng, size), ground.astype(np.float32))
    return shade(page, page[..., 1].astype(np.float32), rng) if rng.random() < 0.3 else page.copy()


def lettering(rng: Rng, size: Size) -> Image:
    """Draw lines of text, from fine print to single letters."""
    image = surface(rng, size)
    height = float(np.exp(rng.uniform(np.log(7), np.log(0.4 * size[0] + 8))))
    scale, font, ink = height / 22, int(rng.choice(_FONTS)), colour(rng)
    y, leading = rng.uniform(0, 2 * height), height * rng.uniform(1.2, 2)
    while y < size[0] + height:
        line = "".join(rng.choice(_GLYPHS, int(size[1] / (10 * scale)) + 2))
        ink = colour(rng) if rng.random() < 0.1 else ink
        at = (int(rng.uniform(-0.1, 0.3) * size[1]), int(y))
        cv2.putText(image, line, at, font, scale, ink, max(1, round(scale * rng.uniform(0.8, 3))), cv2.LINE_AA)
        y += leading
    return image


def board(rng: Rng, size: Size) -> Image:
    """Draw a circuit board: traces with 45-degree bends, ring pads, chips with pins, silk-screen print."""
    base, copper, silk, body = colours(rng, 4).tolist()
    image = np.empty((*size, 3), np.uint8)
    image[:] = (30, 90, 20) if rng.random() < 0.3 else base
    grid, width = int(rng.integers(5, 16)), int(rng.integers(1, 5))
    steps = np.array([[0, 1], [1, 1], [1, 0], [1, -1], [0, -1], [-1, -1], [-1, 0], [-1, 1]])
    for _ in range(rng.integers(10, 45)):
        start = rng.integers(0, np.array(size[::-1]) // grid + 1)
        turns = (rng.integers(8) + np.cumsum(rng.integers(-1, 2, 4))) % 8
        path = (start + np.cumsum(np.vstack([[[0, 0]], steps[turns] * rng.integers(1, 7, (4, 1))]), 0)) * grid
        for lane in range(rng.choice([1, 1, 3])):
            cv2.polylines(image, [(path + lane * grid).astype(np.int32)], False, copper, width, cv2.LINE_AA)
        for end in path[[0, -1]].tolist():
            cv2.circle(image, end, width + 3, silk, -1, cv2.LINE_AA)
            cv2.circle(image, end, width, (20, 20, 20), -1, cv2.LINE_AA)
    for _ in range(rng.integers(0, 6)):
        x, y = (rng.integers(0, np.array(size[::-1]) // grid + 1) * grid).tolist()
        wide, tall = (rng.integers(2, 9, 2) * grid).tolist()
        for pin in range(x, x + wide, grid):
            cv2.rectangle(image, (pin, y - grid // 2), (pin + grid // 3, y + tall + grid // 2), silk, -1)
        cv2.rectangle(image, (x - 1, y), (x + wide, y + tall), body, -1)
        word = "".join(rng.choice(_GLYPHS[:62], 5))
        cv2.putText(image, word, (x + 3, y + tall // 2), 0, grid / 30, silk, 1, cv2.LINE_AA)
    return shade(image, image[..., 1].astype(np.float32), rng, 0.2) if rng.random() < 0.6 else image


def strands(rng: Rng, size: Size) -> Image:
    """Draw curved lines of similar width: hair, grass, fibres, cables, scratches."""
    image = surface(rng, size)
    count, thick = int(np.exp(rng.uniform(np.log(25), np.log(180)))), rng.uniform(1, 0.06 * max(size) + 1)
    along, spread = rng.uniform(0, 6.3), rng.choice([0.1, 0.5, 3])
    inks, t = colours(rng, 6).tolist(), np.linspace(-1, 1, 10)
    for index in range(count):
        turn, bend = along + rng.normal(0, spread), rng.normal(0, 0.3) * (t**2 + t**3 * rng.normal())
        heading = np.cumsum(np.stack([np.cos(turn + bend), np.sin(turn + bend)], -1), 0) - 5
        path = heading * rng.uniform(0.03, 0.18) * max(size) + rng.uniform(0, 1, 2) * size[::-1]
        width = max(1, int(thick * rng.uniform(0.3, 1) / (1 + count / 60)))
        for layer in range(3 if width > 5 else 1):  # a cable is lit along its middle
            ink = [min(255, int(c * (0.5 + 0.4 * layer))) for c in inks[index % 6]]
            cv2.polylines(image, [path.astype(np.int32)], False, ink, max(1, width * (3 - layer) // 3), cv2.LINE_AA)
    return image
