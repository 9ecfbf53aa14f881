"""Procedural pictures: what a backbone is distilled on, and foreign texture for synthetic defects, with no data set.

A picture is one *family* (a surface, a scene of shapes, or one family laid over another), then a *finish* (geometry,
light, focus, noise, compression, colour). The statistics aimed at are those of natural and industrial images: a 1/f
spectrum (Field 1987), occlusion with power-law sizes (dead leaves: Lee, Mumford and Huang 2001; both shown to train
useful features by Baradad et al., "Learning to See by Looking at Noise", 2021) and iterated-function systems
(Kataoka et al., "Pre-training without Natural Images", 2020).
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Size = tuple[int, int]
Image = NDArray[np.uint8]
Field = NDArray[np.float32]

_GLYPHS = np.array(list(string.ascii_letters + string.digits + "     .,:-+/%#()"))
_FONTS = (0, 1, 2, 3, 4, 5, 6, 7, 16, 18, 20)  # the Hershey faces of OpenCV; +16 is italic


def perlin_noise(shape: Size, lattice: Size, rng: Rng) -> Field:
    """Gradient noise (Perlin 2002: unit gradients, quintic fade), scaled by sqrt(2) so that its bounds are -1 and 1.

    Args:
        shape: height and width of the result.
        lattice: number of cells down and across; need not divide the shape.
        rng: source of the gradients.

    Returns:
        (height, width) float32 in [-1, 1]; 0 at the lattice's nodes.
    """
    angle = rng.uniform(0, 2 * np.pi, (lattice[0] + 1, lattice[1] + 1)).astype(np.float32)
    grad_y, grad_x = np.sin(angle), np.cos(angle)
    y, x = (np.arange(n, dtype=np.float32) * np.float32(cells / n) for n, cells in zip(shape, lattice, strict=True))
    row, col = np.minimum(y.astype(int), lattice[0] - 1), np.minimum(x.astype(int), lattice[1] - 1)
    y, x = (y - row).astype(np.float32)[:, None], (x - col).astype(np.float32)

    def corner(down: int, right: int) -> Field:
        node = np.ix_(row + down, col + right)
        return grad_y[node] * (y - down) + grad_x[node] * (x - right)

    fade_y, fade_x = (t * t * t * (t * (t * 6 - 15) + 10) for t in (y, x))
    top, bottom = corner(0, 0), corner(1, 0)
    top += fade_x * (corner(0, 1) - top)
    bottom += fade_x * (corner(1, 1) - bottom)
    noise: Field = np.clip(np.float32(np.sqrt(2)) * (top + fade_y * (bottom - top)), -1, 1)
    return noise


def render_texture(rng: Rng, size: Size) -> Image:
    """One picture of a random family.

    Args:
        rng: source of everything random; its state alone decides the picture.
        size: height and width in pixels.

    Returns:
        (height, width, 3) uint8, BGR.
    """
    families, weights = zip(*_FAMILIES, strict=True)
    for _ in range(4):  # a shape may miss the frame or match its ground: then draw again
        family: Callable[[Rng, Size], Image] = families[rng.choice(len(families), p=np.array(weights) / sum(weights))]
        image = family(rng, size)
        if image.std() > 10:
            break
    return _finish(image, rng)


def render_textures(count: int, size: Size, seed: int) -> Iterator[Image]:
    """Pictures 0 to count - 1; picture i depends on (seed, i) alone, so any slice can be drawn again."""
    return (render_texture(np.random.default_rng([seed, index]), size) for index in range(count))


# Building blocks: colours, fields, light.


def _colours(rng: Rng, count: int) -> Image:
    """(count, 3) BGR, hues drawn around one or two centres, as the colours of one scene are."""
    hue = rng.choice(rng.uniform(0, 180, 2), count) + rng.normal(0, rng.choice([6, 20, 60]), count)
    saturation = 255 * rng.beta(1.2, 1.2 if rng.random() < 0.3 else 3, count)
    hsv = np.stack([hue % 180, saturation, rng.uniform(10, 255, count)], -1).astype(np.uint8)
    return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2BGR)[0]


def _colour(rng: Rng) -> tuple[int, ...]:
    return tuple(int(c) for c in _colours(rng, 1)[0])


def _unit(field: Field) -> Field:
    return cv2.normalize(field, None, 0, 1, cv2.NORM_MINMAX)


def _paint(field: Field, rng: Rng) -> Image:
    """Colours a scalar field through a random palette, mostly from dark to light."""
    stops = _colours(rng, int(rng.integers(2, 7)))
    if rng.random() < 0.7:
        stops = stops[np.argsort(stops.astype(int).sum(1))]
    at = np.linspace(0, 255, len(stops))
    palette = np.stack([np.interp(np.arange(256), at, stops[:, c]) for c in range(3)], -1).astype(np.uint8)
    tone = cv2.normalize(field, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    return cv2.LUT(cv2.merge([tone] * 3), palette[None])


def _fractal(rng: Rng, size: Size, slope: float | None = None, channels: int = 1) -> Field:
    """Noise summed over octaves; the amplitude falls with frequency to the power slope (about 1 in photographs)."""
    slope = float(rng.uniform(0.4, 1.9)) if slope is None else slope
    field = None
    for shift in range(max(size).bit_length() - 2, -1, -1):
        height, width = (max(2, -(-n >> shift)) for n in size)
        octave = rng.random((height, width, channels), dtype=np.float32) - np.float32(0.5)
        octave *= np.float32(2.0 ** (shift * slope))
        field = octave if field is None else octave + cv2.resize(
            field, (width, height), interpolation=cv2.INTER_CUBIC
        ).reshape(octave.shape)
    assert field is not None
    field = cv2.resize(field, size[::-1]).reshape(*size, channels) if field.shape[:2] != size else field
    return field[..., 0] if channels == 1 else field


def _plane(rng: Rng, size: Size, warp: float = 0.5) -> tuple[Field, Field]:
    """Rotated pixel coordinates, centred near the middle; with probability warp, bent by smooth noise."""
    turn, (height, width) = rng.uniform(0, 2 * np.pi), size
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(height * rng.uniform(0.3, 0.7))
    x = np.arange(width, dtype=np.float32) - np.float32(width * rng.uniform(0.3, 0.7))
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u, v = c * x + s * y, c * y - s * x
    if rng.random() < warp:
        bend = np.float32(rng.uniform(2, 0.15 * max(size) + 3))
        cells = int(rng.integers(2, 7))
        for axis in (u, v):
            axis += bend * cv2.resize(rng.normal(size=(cells, cells)).astype(np.float32), (width, height),
                                      interpolation=cv2.INTER_CUBIC)
    return u, v


def _shade(image: Image, height: Field, rng: Rng, strength: float | None = None) -> Image:
    """Lights an image as a relief of the given height: a directional derivative, and sometimes a highlight."""
    turn = rng.uniform(0, 2 * np.pi)
    slope = np.float32(np.cos(turn)) * cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3)
    slope += np.float32(np.sin(turn)) * cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3)
    slope *= np.float32((strength or rng.uniform(0.15, 0.5)) / (float(cv2.meanStdDev(slope)[1][0, 0]) + 1e-6))
    image = _lit(image, np.clip(slope, -0.8, 0.8) + 1)
    if rng.random() < 0.5:
        gloss = cv2.convertScaleAbs(np.clip(slope - np.float32(0.4), 0, 0.5), alpha=255)
        image = cv2.add(image, cv2.merge([gloss] * 3))
    return image


def _lit(image: Image, light: Field) -> Image:
    return cv2.multiply(image, cv2.merge([light] * 3), dtype=cv2.CV_8U)  # saturates


def _over(back: Image, front: Image, alpha: Field) -> Image:
    return cv2.blendLinear(front, back, alpha, 1 - alpha)


def _outline(rng: Rng, centre: NDArray[np.float64], radius: float) -> NDArray[np.int32]:
    """A closed outline: ellipse, regular or irregular polygon, star, box or smooth blob."""
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


# Surfaces: a scalar field, coloured and lit.


def _clouds(rng: Rng, size: Size) -> Image:
    if rng.random() < 0.5:
        return _paint(_fractal(rng, size), rng)
    noise = _fractal(rng, size, channels=3) @ (np.eye(3) * rng.uniform(0.1, 0.6) + 0.5).astype(np.float32)
    return (_unit(noise) * 255).astype(np.uint8)


def _marble(rng: Rng, size: Size) -> Image:
    u, v = _plane(rng, size, 0.3)
    cells = int(rng.integers(2, 9))
    noise = perlin_noise(size, (cells, cells), rng) + np.float32(0.3) * _unit(_fractal(rng, size, 1.0))
    kind, period = rng.integers(4), np.float32(rng.uniform(6, 60))
    if kind == 0:
        field = np.sin(u / period + np.float32(rng.uniform(2, 12)) * noise)
    elif kind == 1:  # wood: stretched rings, and pores along the grain
        field = np.sqrt(u * u + (v * np.float32(0.06)) ** 2) / period + np.float32(rng.uniform(0.5, 2)) * noise
        field = field % 1 + np.float32(0.4) * _streaks(rng, size)
    elif kind == 2:  # ridges, creases, veins
        field = 1 - np.abs(noise) ** np.float32(rng.uniform(0.3, 1))
    else:  # level lines
        field = np.float32(rng.uniform(3, 9)) * noise % 1
    image = _paint(field, rng)
    return _shade(image, noise if kind == 3 else field, rng) if rng.random() < 0.4 else image


def _streaks(rng: Rng, size: Size) -> Field:
    """Noise drawn out along one axis: brushed metal, wood pores, rain; in [0, 1]."""
    coarse = rng.random((size[0], max(2, size[1] // int(rng.integers(16, 128)))), dtype=np.float32)
    field = _unit(cv2.resize(cv2.GaussianBlur(coarse, (1, 3), rng.uniform(0.1, 2)), size[::-1]))
    return field if rng.random() < 0.5 else np.ascontiguousarray(cv2.resize(field.T, size[::-1]))


def _waves(rng: Rng, size: Size) -> Image:
    u, v = _plane(rng, size)
    kind = rng.integers(6)
    if kind == 0:  # a chirp: every frequency in one picture
        u = u * (1 + np.abs(u) * np.float32(rng.uniform(0, 4) / max(size)))
    period = np.float32(np.exp(rng.uniform(np.log(4), np.log(0.5 * max(size) + 5))))
    a, b = u / period, v / (period * np.float32(rng.choice([1, 1, rng.uniform(0.3, 3)])))
    sharp = np.float32(np.exp(rng.uniform(0, 4)))
    wave_a, wave_b = np.tanh(sharp * np.sin(np.float32(6.283) * a)), np.tanh(sharp * np.sin(np.float32(6.283) * b))
    if kind <= 1:
        field = wave_a
    elif kind == 2:
        field = wave_a * wave_b
    elif kind == 3:
        field = np.maximum(wave_a, wave_b)
    elif kind == 4:  # bricks and tiles, each with a tone of its own
        row = np.floor(b)
        column = np.floor(a * np.float32(0.5) + row * np.float32(rng.choice([0, 0.5, 0.37])))
        joint = np.minimum((b - row), (a * np.float32(0.5) + row * np.float32(0.5)) % 1 * 2)
        field = np.sin(row * np.float32(12.9) + column * np.float32(78.2)) - 3 * (joint < rng.uniform(0.03, 0.15))
    else:  # dots
        field = np.tanh(sharp * (np.hypot(a % 1 - np.float32(0.5), b % 1 - np.float32(0.5)) - rng.uniform(0.15, 0.4)))
    image = _paint(field.astype(np.float32), rng)
    return _shade(image, field.astype(np.float32), rng) if rng.random() < 0.3 else image


def _cells(rng: Rng, size: Size) -> Image:
    """Voronoi cells: mosaic, leather, cracked earth, pebbles, foam, crystal grains."""
    count = int(np.exp(rng.uniform(np.log(8), np.log(1200))))
    seeds = np.full(size, 255, np.uint8)
    seeds[rng.integers(0, size[0], count), rng.integers(0, size[1], count)] = 0
    far, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    joint = cv2.morphologyEx(label.astype(np.uint16), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    inside = cv2.distanceTransform((~joint).astype(np.uint8), cv2.DIST_L2, 3)
    tones = _colours(rng, count + 1) if rng.random() < 0.6 else np.tile(_colours(rng, 1), (count + 1, 1))
    kind = rng.integers(4)
    image = _paint(far if rng.random() < 0.5 else -inside, rng) if kind == 0 else np.take(tones, label, axis=0)
    if kind >= 1 and rng.random() < 0.6:
        image[inside <= rng.integers(0, 4)] = _colour(rng)
    if kind >= 2:
        dome = np.sqrt(np.minimum(inside, np.float32(rng.uniform(3, 30))))
        dome += np.float32(0.3) * _unit(_fractal(rng, size))
        image = _shade(image, dome, rng)
    return image


def _weave(rng: Rng, size: Size) -> Image:
    u, v = _plane(rng, size, 0.3)
    thread = np.float32(np.exp(rng.uniform(np.log(3), np.log(28))))
    u, v = u / thread, v / thread
    column, row = np.floor(u), np.floor(v)
    step, repeat = rng.choice([1, 1, 2, 3]), rng.choice([2, 3, 4, 5])
    over = (column + step * row) % repeat < max(1, repeat // 2)
    ridge = np.where(over, 1 - (2 * (u - column) - 1) ** 2, 1 - (2 * (v - row) - 1) ** 2)
    fibre = _fractal(rng, size, 0.5)
    tone = np.sin(np.where(over, column * rng.choice([0, 0.7, 2.1]), 3 + row * rng.choice([0, 0.7, 2.1])))
    image = _paint((tone + np.float32(0.15) * fibre).astype(np.float32), rng)
    return _lit(image, np.float32(0.25) + np.float32(0.75) * ridge.astype(np.float32))


def _metal(rng: Rng, size: Size) -> Image:
    """Brushed sheet, or turned rings with the fan-shaped highlight of a lathe."""
    u, v = _plane(rng, size, 0.1)
    if rng.random() < 0.4:
        field = _streaks(rng, size) + np.float32(rng.uniform(0.5, 2)) * np.cos(u / np.float32(rng.uniform(40, 200)))
    else:
        radius = np.hypot(u, v)
        profile = rng.random(2 * sum(size), dtype=np.float32)
        edges = np.sort(rng.uniform(0, max(size), int(rng.integers(2, 14))))
        steps = np.digitize(np.arange(len(profile)), edges)
        profile = profile * np.float32(rng.uniform(0.05, 0.5)) + rng.random(16, dtype=np.float32)[steps]
        fan = np.abs(np.cos(np.arctan2(v, u) + np.sin(steps * 9.0).astype(np.float32)[radius.astype(int)] * 0.3))
        field = profile[radius.astype(int)] + np.float32(rng.uniform(0.2, 1)) * fan ** np.float32(rng.uniform(2, 12))
    grey = (_unit(field.astype(np.float32)) * 255).astype(np.uint8)
    tint = 255 - (255 - _colours(rng, 1)[0]) * rng.uniform(0, 0.5)
    return (grey[..., None] * (tint / 255).astype(np.float32)).astype(np.uint8)


def _attractor(rng: Rng, size: Size) -> Image:
    """An iterated-function system, by the chaos game on 4096 points at once."""
    maps = int(rng.integers(2, 6))
    a, b, c, d, e, f = rng.uniform(-1, 1, (6, maps)).astype(np.float32)
    norm = np.linalg.norm(np.stack([a, b, c, d]), axis=0) / rng.uniform(0.7, 1.2, maps).astype(np.float32)
    a, b, c, d = (part / norm for part in (a, b, c, d))
    x, y = rng.uniform(-1, 1, (2, 4096)).astype(np.float32)
    trail: list[tuple[Field, Field, NDArray[np.int64]]] = []
    for step in range(18):
        pick = rng.integers(maps, size=len(x))
        x, y = a[pick] * x + b[pick] * y + e[pick], c[pick] * x + d[pick] * y + f[pick]
        trail += [(y, x, pick)] if step >= 6 else []
    y, x, pick = (np.concatenate(part) for part in zip(*trail, strict=True))
    cloud = np.nan_to_num(np.stack([y, x], -1))
    low, high = np.percentile(cloud[::16], [3, 97], axis=0)
    at = ((cloud - low) / (high - low + 1e-6) * 0.9 + 0.05).clip(-1, 2) * size
    at = at.astype(int)
    keep = (at >= 0).all(1) & (at < size).all(1)
    hits = np.bincount(at[keep, 0] * size[1] + at[keep, 1], minlength=size[0] * size[1]).astype(np.float32)
    density = np.log1p(cv2.GaussianBlur(hits.reshape(size), (3, 3), 0.8))
    image = _surface(rng, size) if rng.random() < 0.4 else np.full((*size, 3), _colour(rng), np.uint8)
    tone = np.zeros(size, np.float32)
    tone[at[keep, 0], at[keep, 1]] = pick[keep] + 1
    alpha = np.minimum(density / np.float32(0.6), 1)
    return _over(image, _paint(density + np.float32(0.5) * cv2.dilate(tone, np.ones((3, 3))), rng), alpha)


def _surface(rng: Rng, size: Size) -> Image:
    """What a shape is filled with: a plain tone, a soft gradient, or a surface."""
    kind = rng.random()
    if kind < 0.15:
        return np.full((*size, 3), _colours(rng, 1), np.uint8)
    if kind < 0.3:
        return cv2.resize(_colours(rng, 4).reshape(2, 2, 3), size[::-1])
    families = (_clouds, _clouds, _marble, _waves, _cells, _weave, _metal)
    family: Callable[[Rng, Size], Image] = families[rng.integers(len(families))]
    return family(rng, size)


# Scenes: shapes in front of one another.


def _leaves(rng: Rng, size: Size) -> Image:
    """Dead leaves: power-law sizes, painted back to front; each leaf has a tone, a gradient and a share of texture."""
    count, sort = int(np.exp(rng.uniform(np.log(40), np.log(500)))), rng.integers(3)
    small, large = rng.uniform(0.008, 0.03) * max(size), rng.uniform(0.15, 0.5) * max(size)
    power = -rng.uniform(0.3, 1.6)  # of the sizes' tail
    radii = rng.uniform(large**power, small**power, count) ** (1 / power)
    radii = np.sort(radii)[::-1] if rng.random() < 0.4 else radii
    label = np.zeros(size, np.uint16)
    for index, radius in enumerate(radii, 1):
        centre = rng.uniform(0, 1, 2) * size[::-1]
        if sort == 0:
            cv2.circle(label, centre.astype(int).tolist(), int(radius), index, -1)
        else:
            cv2.fillPoly(label, [_outline(rng, centre, radius)], index)
    leaf = np.column_stack([rng.normal(0, 0.7, (count + 1, 2)), rng.uniform(-1, 1, (count + 1, 2)) ** 3])
    slope_x, slope_y, share_a, share_b = np.take(leaf.T.astype(np.float32), label, axis=1)
    y, x = np.linspace(-0.5, 0.5, size[0], dtype=np.float32)[:, None], np.linspace(-0.5, 0.5, size[1], dtype=np.float32)
    light = 1 + slope_x * x + slope_y * y + share_a * (_streaks(rng, size) - np.float32(0.5))
    light += share_b * (_unit(_fractal(rng, size, 0.7)) - np.float32(0.5))
    image = _lit(np.take(_colours(rng, count + 1), label, axis=0), light)
    if rng.random() < 0.5:
        edge = cv2.morphologyEx(label, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) == 0
        depth = np.minimum(cv2.distanceTransform(edge.astype(np.uint8), cv2.DIST_L2, 3), rng.uniform(3, 20))
        image = _shade(image, np.sqrt(depth), rng)
    return image


def _objects(rng: Rng, size: Size) -> Image:
    """One to a few solid objects on a background, each with its shadow, its own surface, roundness, and parts."""
    image = _surface(rng, size)
    count = int(rng.choice([1, 1, 1, 2, 3, 5]))
    for _ in range(count):
        mask = np.zeros(size, np.uint8)
        centre = rng.uniform(0.3, 0.7, 2) if count == 1 else rng.uniform(0.05, 0.95, 2)
        centre, radius = centre * size[::-1], rng.uniform(0.25, 0.5) * max(size) / count**0.4
        cv2.fillPoly(mask, [_outline(rng, centre, radius)], 255, cv2.LINE_AA)
        for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):  # holes and notches
            cv2.fillPoly(mask, [_outline(rng, centre + rng.normal(0, radius / 3, 2), radius / 4)], 0, cv2.LINE_AA)
        alpha, front = mask.astype(np.float32) / 255, _surface(rng, size)
        for _ in range(rng.choice([0, 1, 2, 4])):  # parts, concentric or scattered
            offset = rng.normal(0, radius / 3, 2) * rng.integers(2)
            part = _outline(rng, centre + offset, radius * rng.uniform(0.1, 0.7))
            if rng.random() < 0.4:
                cv2.polylines(front, [part], True, _colour(rng), int(rng.integers(1, 4)), cv2.LINE_AA)
            else:
                cv2.fillPoly(front, [part], _colour(rng), cv2.LINE_AA)
        if rng.random() < 0.7:
            depth = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
            bevel = np.float32(rng.uniform(0.05, 1) * max(1.0, float(depth.max())))
            dome = np.sqrt(np.maximum(1 - (1 - np.minimum(depth / bevel, 1)) ** 2, 0))
            front = _shade(front, cv2.GaussianBlur(dome, (5, 5), 0), rng)
        if rng.random() < 0.7:
            move = np.float32([[1, 0, rng.normal(0, radius / 8)], [0, 1, rng.normal(0, radius / 8)]])
            shadow = cv2.blur(cv2.warpAffine(alpha, move, size[::-1]), (int(rng.integers(1, 4 + radius / 4)),) * 2)
            image = _lit(image, 1 - np.float32(rng.uniform(0.2, 0.8)) * shadow)
        image = _over(image, front, alpha)
    return image


def _tile(rng: Rng, side: int) -> Image:
    """A small element on a ground: a screw head, a ring, a hole, a glyph or nested shapes."""
    tile = np.full((side, side, 3), _colours(rng, 1), np.uint8)
    centre, radius, kind = (side // 2, side // 2), max(2, int(side * rng.uniform(0.2, 0.48))), rng.integers(4)
    if kind <= 1:
        cv2.circle(tile, (centre[0] + 1, centre[1] + 1), radius, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(tile, centre, radius, _colour(rng), -1, cv2.LINE_AA)
        cv2.circle(tile, centre, int(radius * rng.uniform(0.2, 0.9)), _colour(rng), int(rng.choice([-1, 1, 2])), 16)
    if kind == 1:  # the slot or the cross
        for turn in (0, 90)[: rng.integers(1, 3)]:
            reach = (int(radius * 0.7), max(1, radius // 6))
            cv2.ellipse(tile, centre, reach, turn + rng.integers(90), 0, 360, _colour(rng), -1, 16)
    elif kind == 2:
        scale = side / 40
        cv2.putText(tile, str(rng.choice(_GLYPHS[:62])), (side // 5, side * 4 // 5), 0, scale, _colour(rng),
                    max(1, side // 16), cv2.LINE_AA)
    elif kind == 3:
        for _ in range(rng.integers(1, 4)):
            outline = _outline(rng, np.array(centre), radius * rng.uniform(0.3, 1))
            cv2.fillPoly(tile, [outline], _colour(rng), cv2.LINE_AA)
    return tile


def _repeats(rng: Rng, size: Size) -> Image:
    """A grid of one or two elements, with some missing, on their own ground or on a surface."""
    side = int(np.exp(rng.uniform(np.log(8), np.log(max(size) / 2 + 9))))
    tiles = np.stack([_tile(rng, side) for _ in range(2)])
    rows, columns = -(-size[0] // side), -(-size[1] // side)
    index = np.indices((rows, columns)).sum(0) % 2 if rng.random() < 0.5 else np.zeros((rows, columns), int)
    index = np.where(rng.random((rows, columns)) < rng.choice([0, 0.1, 0.5]), 1, index)
    page = tiles[index].transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, 3)[: size[0], : size[1]]
    if rng.random() < 0.6:
        ground = (page == tiles[0, 0, 0]).all(-1) | (page == tiles[1, 0, 0]).all(-1)
        page = _over(page, _surface(rng, size), ground.astype(np.float32))
    return _shade(page, page[..., 1].astype(np.float32), rng) if rng.random() < 0.3 else page.copy()


def _print(rng: Rng, size: Size) -> Image:
    """Lines of text, from fine print to single letters."""
    image = _surface(rng, size)
    height = float(np.exp(rng.uniform(np.log(7), np.log(0.4 * size[0] + 8))))
    scale, font, ink = height / 22, int(rng.choice(_FONTS)), _colour(rng)
    y, leading = rng.uniform(0, 2 * height), height * rng.uniform(1.2, 2)
    while y < size[0] + height:
        line = "".join(rng.choice(_GLYPHS, int(size[1] / (10 * scale)) + 2))
        ink = _colour(rng) if rng.random() < 0.1 else ink
        at = (int(rng.uniform(-0.1, 0.3) * size[1]), int(y))
        cv2.putText(image, line, at, font, scale, ink, max(1, round(scale * rng.uniform(0.8, 3))), cv2.LINE_AA)
        y += leading
    return image


def _board(rng: Rng, size: Size) -> Image:
    """A circuit board: traces with 45-degree bends, ring pads, chips with pins, silk-screen print."""
    base, copper, silk, body = _colours(rng, 4).tolist()
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
    return _shade(image, image[..., 1].astype(np.float32), rng, 0.2) if rng.random() < 0.6 else image


def _strands(rng: Rng, size: Size) -> Image:
    """Curved lines of one width law: hair, grass, fibres, cables, scratches."""
    image = _surface(rng, size)
    count, thick = int(np.exp(rng.uniform(np.log(25), np.log(180)))), rng.uniform(1, 0.06 * max(size) + 1)
    along, spread = rng.uniform(0, 6.3), rng.choice([0.1, 0.5, 3])
    inks, t = _colours(rng, 6).tolist(), np.linspace(-1, 1, 10)
    for index in range(count):
        turn, bend = along + rng.normal(0, spread), rng.normal(0, 0.3) * (t**2 + t**3 * rng.normal())
        heading = np.cumsum(np.stack([np.cos(turn + bend), np.sin(turn + bend)], -1), 0) - 5
        path = heading * rng.uniform(0.03, 0.18) * max(size) + rng.uniform(0, 1, 2) * size[::-1]
        width = max(1, int(thick * rng.uniform(0.3, 1) / (1 + count / 60)))
        for layer in range(3 if width > 5 else 1):  # a cable is lit along its middle
            ink = [min(255, int(c * (0.5 + 0.4 * layer))) for c in inks[index % 6]]
            cv2.polylines(image, [path.astype(np.int32)], False, ink, max(1, width * (3 - layer) // 3), cv2.LINE_AA)
    return image


def _blend(rng: Rng, size: Size) -> Image:
    """One family laid over another, through a Perlin mask, a half-plane, a shape, or evenly."""
    pick = [_FAMILIES[i][0] for i in rng.integers(0, len(_FAMILIES) - 1, 2)]
    back, front = pick[0](rng, size), pick[1](rng, size)
    kind, soft = rng.integers(4), np.float32(np.exp(rng.uniform(0, 3)))
    if kind == 0:
        cells = int(rng.integers(1, 9))
        field = (perlin_noise(size, (cells, cells), rng) - np.float32(rng.uniform(-0.2, 0.3))) * 20
    elif kind == 1:
        field = _plane(rng, size)[0] / soft
    elif kind == 2:
        mask = np.zeros(size, np.uint8)
        outline = _outline(rng, rng.uniform(0.3, 0.7, 2) * size[::-1], rng.uniform(0.2, 0.5) * max(size))
        field = cv2.fillPoly(mask, [outline], 255, cv2.LINE_AA) / np.float32(255) - np.float32(0.5)
        back = (back * np.float32(rng.uniform(0.5, 1))).astype(np.uint8)
    else:
        field = np.full(size, rng.uniform(-0.3, 0.3), np.float32)
    return _over(back, front, np.clip(field + np.float32(0.5), 0, 1))


_FAMILIES: tuple[tuple[Callable[[Rng, Size], Image], float], ...] = (
    (_clouds, 6), (_marble, 7), (_waves, 8), (_cells, 7), (_weave, 6), (_metal, 7), (_attractor, 4),
    (_leaves, 11), (_objects, 16), (_repeats, 9), (_print, 6), (_board, 6), (_strands, 5), (_blend, 7),
)  # fmt: skip  # shares of all pictures; _blend stays last, for it draws from those before it


# The finish: what camera, lamp and file do to any picture.


def _finish(image: Image, rng: Rng) -> Image:
    image = _move(image, rng) if rng.random() < 0.6 else image
    size = image.shape[:2]
    if rng.random() < 0.4:
        lamp = cv2.resize(rng.uniform(0.35, 1.25, (3, 3)).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
        image = _lit(image, lamp)
    focus = rng.random()
    if focus < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), float(np.exp(rng.uniform(-0.7, 1))))
    elif focus < 0.4:
        image = cv2.addWeighted(image, 2, cv2.GaussianBlur(image, (0, 0), 1.0), -1, 0)
    if rng.random() < 0.3:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    mean, deviation = (float(s.mean()) for s in cv2.meanStdDev(image))
    wanted = rng.uniform(30, 75)  # grey levels; photographs have about 60
    gain = min(max(wanted / (deviation + 1e-3), 0.7), 4)
    levels = (np.arange(256) - mean) * gain + (0.6 * mean + 0.4 * rng.uniform(50, 205))
    image = cv2.LUT(image, np.clip(levels, 0, 255).astype(np.uint8))
    if rng.random() < 0.25:
        noise = rng.standard_normal((*size, 1), dtype=np.float32) * np.float32(rng.uniform(2, 14))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 90))])[1]
        image = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    return image


def _move(image: Image, rng: Rng) -> Image:
    """A random view: turn, zoom in, shear, tilt."""
    height, width = image.shape[:2]
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    turn, zoom = rng.choice([rng.normal(0, 0.15), rng.uniform(0, 6.3)]), np.exp(rng.uniform(-0.6, 0.2))
    c, s = zoom * np.cos(turn), zoom * np.sin(turn)
    middle = np.array([width, height]) / 2
    view = (corners - middle) @ np.array([[c, s], [-s, c]]) + middle + rng.normal(0, 0.06 * max(width, height), (4, 2))
    matrix = cv2.getPerspectiveTransform(view.astype(np.float32), corners)
    return cv2.warpPerspective(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
