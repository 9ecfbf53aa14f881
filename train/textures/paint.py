"""Colour and light: palettes, relief shading, one picture over another."""

from __future__ import annotations

import cv2
import numpy as np

from edge_inspect.train.textures.arrays import Field, Image, Rng


def colours(rng: Rng, count: int) -> Image:
    """Return colours, (count, 3) BGR; their hues lie around one or two centres, as in a real scene."""
    hue = rng.choice(rng.uniform(0, 180, 2), count) + rng.normal(0, rng.choice([6, 20, 60]), count)
    saturation = 255 * rng.beta(1.2, 1.2 if rng.random() < 0.3 else 3, count)
    hsv = np.stack([hue % 180, saturation, rng.uniform(10, 255, count)], -1).astype(np.uint8)
    return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2BGR)[0]


def colour(rng: Rng) -> tuple[int, ...]:
    """Return one colour, BGR."""
    return tuple(int(c) for c in colours(rng, 1)[0])


def paint(field: Field, rng: Rng) -> Image:
    """Colour a scalar field with a random palette, mostly from dark to light."""
    stops = colours(rng, int(rng.integers(2, 7)))
    if rng.random() < 0.7:
        stops = stops[np.argsort(stops.astype(int).sum(1))]
    at = np.linspace(0, 255, len(stops))
    palette = np.stack([np.interp(np.arange(256), at, stops[:, c]) for c in range(3)], -1).astype(np.uint8)
    tone = cv2.normalize(field, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    return cv2.LUT(cv2.merge([tone] * 3), palette[None])


def shade(image: Image, height: Field, rng: Rng, strength: float | None = None) -> Image:
    """Light an image as a relief of the given height: a directional derivative, and sometimes a highlight."""
    turn = rng.uniform(0, 2 * np.pi)
    slope = np.float32(np.cos(turn)) * cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3)
    slope += np.float32(np.sin(turn)) * cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3)
    slope *= np.float32((strength or rng.uniform(0.15, 0.5)) / (float(cv2.meanStdDev(slope)[1][0, 0]) + 1e-6))
    image = lit(image, np.clip(slope, -0.8, 0.8) + 1)
    if rng.random() < 0.5:
        gloss = cv2.convertScaleAbs(np.clip(slope - np.float32(0.4), 0, 0.5), alpha=255)
        image = cv2.add(image, cv2.merge([gloss] * 3))
    return image


def lit(image: Image, light: Field) -> Image:
    """Return the image multiplied by the light; a light of 1 changes nothing."""
    return cv2.multiply(image, cv2.merge([light] * 3), dtype=cv2.CV_8U)  # saturates


def overlay(back: Image, front: Image, alpha: Field) -> Image:
    """Return the front blended over the back by alpha, from 0 (back) to 1 (front)."""
    return cv2.blendLinear(front, back, alpha, 1 - alpha)
