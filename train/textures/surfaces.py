"""Surfaces: a scalar field, coloured and lit."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_inspect.train.textures.arrays import Field, Image, Rng, Size
from edge_inspect.train.textures.noise import fractal, perlin_noise, plane, streaks, unit
from edge_inspect.train.textures.paint import colour, colours, lit, overlay, paint, shade


def clouds(rng: Rng, size: Size) -> Image:
    """Draw spectral noise, coloured by a palette or with colour channels that are more or less alike."""
    if rng.random() < 0.5:
        return paint(fractal(rng, size), rng)
    noise = fractal(rng, size, channels=3) @ (np.eye(3) * rng.uniform(0.1, 0.6) + 0.5).astype(np.float32)
    return (unit(noise) * 255).astype(np.uint8)


def marble(rng: Rng, size: Size) -> Image:
    """Draw Perlin noise bent into veins, wood, ridges or level lines."""
    u, v = plane(rng, size, 0.3)
    cells = int(rng.integers(2, 9))
    noise = perlin_noise(size, (cells, cells), rng) + np.float32(0.3) * unit(fractal(rng, size, 1.0))
    kind, period = rng.integers(4), np.float32(rng.uniform(6, 60))
    if kind == 0:
        field = np.sin(u / period + np.float32(rng.uniform(2, 12)) * noise)
    elif kind == 1:  # wood: stretched rings, and pores along the grain
        field = np.sqrt(u * u + (v * np.float32(0.06)) ** 2) / period + np.float32(rng.uniform(0.5, 2)) * noise
        field = field % 1 + np.float32(0.4) * streaks(rng, size)
    elif kind == 2:  # ridges, creases, veins
        field = 1 - np.abs(noise) ** np.float32(rng.uniform(0.3, 1))
    else:  # level lines
        field = np.float32(rng.uniform(3, 9)) * noise % 1
    image = paint(field, rng)
    return shade(image, noise if kind == 3 else field, rng) if rng.random() < 0.4 else image


def waves(rng: Rng, size: Size) -> Image:
    """Draw periodic fields: a chirp, stripes, checks, grids, bricks, dots."""
    u, v = plane(rng, size)
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
    image = paint(field.astype(np.float32), rng)
    return shade(image, field.astype(np.float32), rng) if rng.random() < 0.3 else image


def voronoi(rng: Rng, size: Size) -> Image:
    """Draw Voronoi cells: mosaic, leather, cracked earth, pebbles, foam, crystal grains."""
    count = int(np.exp(rng.uniform(np.log(8), np.log(1200))))
    seeds = np.full(size, 255, np.uint8)
    seeds[rng.integers(0, size[0], count), rng.integers(0, size[1], count)] = 0
    far, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    joint = cv2.morphologyEx(label.astype(np.uint16), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    inside = cv2.distanceTransform((~joint).astype(np.uint8), cv2.DIST_L2, 3)
    tones = colours(rng, count + 1) if rng.random() < 0.6 else np.tile(colours(rng, 1), (count + 1, 1))
    kind = rng.integers(4)
    image = paint(far if rng.random() < 0.5 else -inside, rng) if kind == 0 else np.take(tones, label, axis=0)
    if kind >= 1 and rng.random() < 0.6:
        image[inside <= rng.integers(0, 4)] = colour(rng)
    if kind >= 2:
        dome = np.sqrt(np.minimum(inside, np.float32(rng.uniform(3, 30))))
        dome += np.float32(0.3) * unit(fractal(rng, size))
        image = shade(image, dome, rng)
    return image


def weave(rng: Rng, size: Size) -> Image:
    """Draw cloth: threads over and under one another."""
    u, v = plane(rng, size, 0.3)
    thread = np.float32(np.exp(rng.uniform(np.log(3), np.log(28))))
    u, v = u / thread, v / thread
    column, row = np.floor(u), np.floor(v)
    step, repeat = rng.choice([1, 1, 2, 3]), rng.choice([2, 3, 4, 5])
    over = (column + step * row) % repeat < max(1, repeat // 2)
    ridge = np.where(over, 1 - (2 * (u - column) - 1) ** 2, 1 - (2 * (v - row) - 1) ** 2)
    fibre = fractal(rng, size, 0.5)
    tone = np.sin(np.where(over, column * rng.choice([0, 0.7, 2.1]), 3 + row * rng.choice([0, 0.7, 2.1])))
    image = paint((tone + np.float32(0.15) * fibre).astype(np.float32), rng)
    return lit(image, np.float32(0.25) + np.float32(0.75) * ridge.astype(np.float32))


def metal(rng: Rng, size: Size) -> Image:
    """Draw a brushed sheet, or turned rings with the fan-shaped highlight of a lathe."""
    u, v = plane(rng, size, 0.1)
    if rng.random() < 0.4:
        field = streaks(rng, size) + np.float32(rng.uniform(0.5, 2)) * np.cos(u / np.float32(rng.uniform(40, 200)))
    else:
        radius = np.hypot(u, v)
        profile = rng.random(2 * sum(size), dtype=np.float32)
        edges = np.sort(rng.uniform(0, max(size), int(rng.integers(2, 14))))
        steps = np.digitize(np.arange(len(profile)), edges)
        profile = profile * np.float32(rng.uniform(0.05, 0.5)) + rng.random(16, dtype=np.float32)[steps]
        fan = np.abs(np.cos(np.arctan2(v, u) + np.sin(steps * 9.0).astype(np.float32)[radius.astype(int)] * 0.3))
        field = profile[radius.astype(int)] + np.float32(rng.uniform(0.2, 1)) * fan ** np.float32(rng.uniform(2, 12))
    grey = (unit(field.astype(np.float32)) * 255).astype(np.uint8)
    tint = 255 - (255 - colours(rng, 1)[0]) * rng.uniform(0, 0.5)
    return (grey[..., None] * (tint / 255).astype(np.float32)).astype(np.uint8)


def attractor(rng: Rng, size: Size) -> Image:
    """Draw an iterated-function system, by the chaos game on 4096 points at once."""
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
    image = surface(rng, size) if rng.random() < 0.4 else np.full((*size, 3), colour(rng), np.uint8)
    tone = np.zeros(size, np.float32)
    tone[at[keep, 0], at[keep, 1]] = pick[keep] + 1
    alpha = np.minimum(density / np.float32(0.6), 1)
    return overlay(image, paint(density + np.float32(0.5) * cv2.dilate(tone, np.ones((3, 3))), rng), alpha)


def surface(rng: Rng, size: Size) -> Image:
    """Return a random filling for a shape: a plain tone, a soft gradient, or a surface."""
    kind = rng.random()
    if kind < 0.15:
        return np.full((*size, 3), colours(rng, 1), np.uint8)
    if kind < 0.3:
        return cv2.resize(colours(rng, 4).reshape(2, 2, 3), size[::-1])
    families = (clouds, clouds, marble, waves, voronoi, weave, metal)
    family: Callable[[Rng, Size], Image] = families[rng.integers(len(families))]
    return family(rng, size)
