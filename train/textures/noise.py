"""Fields of noise: gradient (Perlin) noise, spectral (1/f) noise, streaks, and coordinates bent by noise."""

from __future__ import annotations

import cv2
import numpy as np

from edge_inspect.train.textures.arrays import Field, Rng, Size


def perlin_noise(shape: Size, lattice: Size, rng: Rng) -> Field:
    """Return gradient noise (Perlin 2002: unit gradients, quintic fade), times sqrt(2), so that it is in -1 to 1.

    Args:
        shape: Height and width of the result.
        lattice: Number of cells down and across; it need not divide the shape.
        rng: Random generator of the gradients.

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


def fractal(rng: Rng, size: Size, slope: float | None = None, channels: int = 1) -> Field:
    """Sum noise over octaves; the amplitude is proportional to frequency ** -slope (slope: about 1 in photographs)."""
    slope = float(rng.uniform(0.4, 1.9)) if slope is None else slope
    field = None
    for shift in range(max(size).bit_length() - 2, -1, -1):
        height, width = (max(2, -(-n >> shift)) for n in size)
        octave = rng.random((height, width, channels), dtype=np.float32) - np.float32(0.5)
        octave *= np.float32(2.0 ** (shift * slope))
        field = (
            octave
            if field is None
            else octave + cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC).reshape(octave.shape)
        )
    assert field is not None
    field = cv2.resize(field, size[::-1]).reshape(*size, channels) if field.shape[:2] != size else field
    return field[..., 0] if channels == 1 else field


def plane(rng: Rng, size: Size, warp: float = 0.5) -> tuple[Field, Field]:
    """Return rotated pixel coordinates, centred near the middle; with probability `warp`, bent by smooth noise."""
    turn, (height, width) = rng.uniform(0, 2 * np.pi), size
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(height * rng.uniform(0.3, 0.7))
    x = np.arange(width, dtype=np.float32) - np.float32(width * rng.uniform(0.3, 0.7))
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u, v = c * x + s * y, c * y - s * x
    if rng.random() < warp:
        bend = np.float32(rng.uniform(2, 0.15 * max(size) + 3))
        cells = int(rng.integers(2, 7))
        for axis in (u, v):
            axis += bend * cv2.resize(
                rng.normal(size=(cells, cells)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
            )
    return u, v


def streaks(rng: Rng, size: Size) -> Field:
    """Return noise stretched along one axis, in [0, 1]: brushed metal, wood pores, rain."""
    coarse = rng.random((size[0], max(2, size[1] // int(rng.integers(16, 128)))), dtype=np.float32)
    field = unit(cv2.resize(cv2.GaussianBlur(coarse, (1, 3), rng.uniform(0.1, 2)), size[::-1]))
    return field if rng.random() < 0.5 else np.ascontiguousarray(cv2.resize(field.T, size[::-1]))


def unit(field: Field) -> Field:
    """Return the field stretched to 0..1."""
    return cv2.normalize(field, None, 0, 1, cv2.NORM_MINMAX)
