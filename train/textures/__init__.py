"""Procedural pictures, with no data set: to distil a backbone on, and as foreign texture for synthetic defects.

A picture is one *family* (a surface, a scene of shapes, or one family laid over another), then a *finish* (geometry,
light, focus, noise, compression, colour). The pictures imitate the statistics of natural and industrial images: a 1/f
spectrum (Field 1987), occlusion with power-law sizes (dead leaves: Lee, Mumford and Huang 2001) and iterated-function
systems (Kataoka et al., "Pre-training without Natural Images", 2020). The first two were shown to train useful features
by Baradad et al., "Learning to See by Looking at Noise", 2021.

arrays.py     types of pictures and random generators
noise.py      fields of noise and coordinates
paint.py      colour and light
surfaces.py   surfaces: a field, coloured and lit
scenes.py     scenes: shapes in front of one another
finish.py     effects of camera, lamp and file on any picture
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from edge_inspect.train.textures.arrays import Image, Rng, Size
from edge_inspect.train.textures.finish import finished
from edge_inspect.train.textures.noise import perlin_noise, plane
from edge_inspect.train.textures.paint import overlay
from edge_inspect.train.textures.scenes import board, leaves, lettering, objects, outline, repeats, strands
from edge_inspect.train.textures.surfaces import attractor, clouds, marble, metal, voronoi, waves, weave

__all__ = ["FAMILIES", "perlin_noise", "render_texture", "render_textures"]


def render_texture(rng: Rng, size: Size) -> Image:
    """Render one picture of a random family.

    Args:
        rng: Random generator; its state alone decides the picture.
        size: Height and width in pixels.

    Returns:
        (height, width, 3) uint8, BGR.
    """
    families, weights = zip(*FAMILIES, strict=True)
    for _ in range(4):  # a shape may miss the frame or match its background: then draw again
        family: Callable[[Rng, Size], Image] = families[rng.choice(len(families), p=np.array(weights) / sum(weights))]
        image = family(rng, size)
        if image.std() > 10:
            break
    return finished(image, rng)


def render_textures(count: int, size: Size, seed: int) -> Iterator[Image]:
    """Yield pictures 0 to count - 1; picture i depends only on (seed, i), so any slice can be drawn again."""
    return (render_texture(np.random.default_rng([seed, index]), size) for index in range(count))


def _blend(rng: Rng, size: Size) -> Image:
    """Lay one family over another, through a Perlin mask, a half-plane, a shape, or evenly."""
    pick = [FAMILIES[i][0] for i in rng.integers(0, len(FAMILIES) - 1, 2)]
    back, front = pick[0](rng, size), pick[1](rng, size)
    kind, soft = rng.integers(4), np.float32(np.exp(rng.uniform(0, 3)))
    if kind == 0:
        cells = int(rng.integers(1, 9))
        field = (perlin_noise(size, (cells, cells), rng) - np.float32(rng.uniform(-0.2, 0.3))) * 20
    elif kind == 1:
        field = plane(rng, size)[0] / soft
    elif kind == 2:
        mask = np.zeros(size, np.uint8)
        closed = outline(rng, rng.uniform(0.3, 0.7, 2) * size[::-1], rng.uniform(0.2, 0.5) * max(size))
        field = cv2.fillPoly(mask, [closed], 255, cv2.LINE_AA) / np.float32(255) - np.float32(0.5)
        back = (back * np.float32(rng.uniform(0.5, 1))).astype(np.uint8)
    else:
        field = np.full(size, rng.uniform(-0.3, 0.3), np.float32)
    return overlay(back, front, np.clip(field + np.float32(0.5), 0, 1))


FAMILIES: tuple[tuple[Callable[[Rng, Size], Image], float], ...] = (
    (clouds, 6), (marble, 7), (waves, 8), (voronoi, 7), (weave, 6), (metal, 7), (attractor, 4),
    (leaves, 11), (objects, 16), (repeats, 9), (lettering, 6), (board, 6), (strands, 5), (_blend, 7),
)  # fmt: skip
"""Families of pictures, each with its share of all pictures. `_blend` stays last: it draws from those before it."""
