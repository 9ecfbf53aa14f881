"""The last steps of the discrepancy as matrices, for engines that compute them inside their graph.

Bilinear upsampling (align_corners) and the Gaussian are linear and separable. So together they are one matrix for each
side:

    A = sum_k G up(d_k) = sum_k R_k d_k C_k^T

The products cost about 10 million multiply-adds at 256x256. Upsampling three maps and blurring their sum was the most
expensive step of the whole graph. The reference is models/discrepancy.py; a test compares the two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TRUNCATE = 4.0
"""The Gaussian is cut off at this many standard deviations."""
EPSILON = 1e-8
"""Smallest length by which a feature vector is divided."""


def upsampling_matrix(size: int, target: int) -> NDArray[np.float64]:
    """Return the matrix of bilinear interpolation with aligned corners, (target, size)."""
    matrix = np.zeros((target, size))
    position = np.arange(target) * ((size - 1) / max(1, target - 1))
    left = np.minimum(position.astype(int), size - 1)
    share = position - left
    rows = np.arange(target)
    matrix[rows, left] += 1 - share
    matrix[rows, np.minimum(left + 1, size - 1)] += share
    return matrix


def blurring_matrix(size: int, sigma: float) -> NDArray[np.float64]:
    """Return the matrix of the Gaussian, (size, size), cut off at 4 sigma; borders are mirrored (scipy's `reflect`)."""
    radius = int(TRUNCATE * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    matrix = np.zeros((size, size))
    rows = np.arange(size)
    for offset, weight in zip(offsets, kernel, strict=True):
        index = (rows + offset) % (2 * size)
        np.add.at(matrix, (rows, np.where(index < size, index, 2 * size - 1 - index)), weight)
    return matrix


def head_matrix(size: int, target: int, sigma: float) -> NDArray[np.float32]:
    """Return the matrix of upsampling followed by blurring, (target, size) float32."""
    return (blurring_matrix(target, sigma) @ upsampling_matrix(size, target)).astype(np.float32)
