from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from edge_inspect.edge.discrepancy import blurring_matrix, head_matrix, upsampling_matrix

sizes = st.integers(1, 70)
few = settings(max_examples=60, deadline=None)


def bilinear(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Interpolate bilinearly with aligned corners, one value after the other."""
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            v = y * (values.shape[0] - 1) / (height - 1) if height > 1 else 0.0
            u = x * (values.shape[1] - 1) / (width - 1) if width > 1 else 0.0
            top, left = int(v), int(u)
            below, right = min(top + 1, values.shape[0] - 1), min(left + 1, values.shape[1] - 1)
            above_ = values[top, left] * (1 - (u - left)) + values[top, right] * (u - left)
            below_ = values[below, left] * (1 - (u - left)) + values[below, right] * (u - left)
            result[y, x] = above_ * (1 - (v - top)) + below_ * (v - top)
    return result


@given(sizes, sizes)
@few
def test_upsampling_is_bilinear_with_aligned_corners(size: int, target: int) -> None:
    values = np.random.default_rng(size).standard_normal((size, 1))
    expected = bilinear(values, target, 1)
    np.testing.assert_allclose(upsampling_matrix(size, target) @ values, expected, atol=1e-12)


@given(sizes, sizes)
@few
def test_upsampling_keeps_the_corners_and_a_constant(size: int, target: int) -> None:
    matrix = upsampling_matrix(size, target)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    assert matrix.min() >= 0
    assert matrix[0, 0] == 1
    if target > 1:
        np.testing.assert_allclose(matrix[-1], np.eye(size)[-1], atol=1e-12)


@given(st.integers(1, 90), st.sampled_from([0.3, 1.0, 2.5, 4.0, 7.7]))
@few
def test_blurring_is_scipys_gaussian(size: int, sigma: float) -> None:
    values = np.random.default_rng(size).standard_normal(size)
    expected = gaussian_filter1d(values, sigma, mode="reflect", truncate=4.0)
    np.testing.assert_allclose(blurring_matrix(size, sigma) @ values, expected, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 5, 15, 16, 17])
def test_blurring_reaches_beyond_a_map_smaller_than_its_kernel(size: int) -> None:
    """At sigma 4 the radius is 16 pixels, so mirror images are mirrored again."""
    matrix = blurring_matrix(size, 4.0)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    expected = gaussian_filter1d(np.eye(size), 4.0, axis=0, mode="reflect", truncate=4.0)
    np.testing.assert_allclose(matrix, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("shapes", "height", "width"),
    [(((8, 8), (4, 4), (2, 2)), 32, 32), (((9, 5), (5, 3), (3, 2)), 33, 20), (((2, 24), (1, 12), (1, 6)), 8, 96)],
)
def test_both_at_once_are_the_whole_head(shapes: tuple[tuple[int, int], ...], height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    scales = [rng.random(shape) for shape in shapes]
    expected = gaussian_filter(
        np.sum([bilinear(d, height, width) for d in scales], axis=0), 4.0, mode="reflect", truncate=4.0
    )
    rows = [head_matrix(d.shape[0], height, 4.0) for d in scales]
    columns = [head_matrix(d.shape[1], width, 4.0) for d in scales]
    found = sum(r @ d @ c.T for r, d, c in zip(rows, scales, columns, strict=True))
    assert rows[0].dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
