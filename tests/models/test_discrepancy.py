"""The discrepancy mathematics against hand-made cases and scipy, and its matrix form against it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from edge_inspect.edge.discrepancy import head_matrix
from edge_inspect.models.discrepancy import (
    anomaly_map,
    cosine_distance,
    gaussian_blur,
    gaussian_kernel,
    score,
    upsample,
)


def features(seed: int, *sizes: tuple[int, int], images: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(images, 8 * (i + 1), *size, generator=generator) + 0.01 for i, size in enumerate(sizes)]


def test_the_map_of_identical_features_is_zero() -> None:
    same = features(0, (16, 16), (8, 8), (4, 4))
    found = anomaly_map(same, same, (64, 64))
    assert found.shape == (2, 1, 64, 64)
    assert found.abs().max() < 1e-5


def test_opposite_features_are_2_apart_at_every_scale() -> None:
    one = features(0, (16, 16), (8, 8), (4, 4))
    assert cosine_distance(one[0], -one[0]).sub(2).abs().max() < 1e-5
    assert anomaly_map(one, [-f for f in one], (64, 64)).sub(6).abs().max() < 1e-4


def test_length_does_not_matter() -> None:
    one, two = features(0, (8, 8)), features(1, (8, 8))
    near = cosine_distance(one[0], two[0])
    torch.testing.assert_close(cosine_distance(one[0] * 100, two[0] * 0.01), near, atol=1e-5, rtol=0)


def test_zero_vectors_have_distance_1() -> None:
    zero, one = torch.zeros(1, 4, 3, 3), torch.rand(1, 4, 3, 3) + 0.1
    assert torch.equal(cosine_distance(zero, one), torch.ones(1, 1, 3, 3))
    assert torch.equal(cosine_distance(zero, zero), torch.ones(1, 1, 3, 3))


def test_features_in_bfloat16_are_compared_in_float32() -> None:
    one, two = (features(seed, (8, 8))[0].bfloat16() for seed in (0, 1))
    distance = cosine_distance(one, two)
    assert distance.dtype == torch.float32
    torch.testing.assert_close(distance, cosine_distance(one.double(), two.double()))


def test_scales_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        anomaly_map(features(0, (8, 8), (4, 4)), features(1, (8, 8)), (32, 32))


def test_the_kernel_is_scipys() -> None:
    kernel = gaussian_kernel()
    assert kernel.shape == (33,)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-6)
    impulse = np.zeros(129)
    impulse[64] = 1
    np.testing.assert_allclose(gaussian_filter(impulse, 4.0, truncate=4.0)[48:81], kernel.numpy(), atol=1e-7)


@pytest.mark.parametrize("size", [(64, 64), (96, 40), (17, 33), (16, 16), (5, 7), (2, 50), (1, 1)])
def test_the_blur_is_scipys_also_on_maps_smaller_than_its_radius(size: tuple[int, int]) -> None:
    values = np.random.default_rng(3).random((2, 1, *size)).astype(np.float32)
    blurred = gaussian_blur(torch.from_numpy(values)).numpy()
    for found, value in zip(blurred[:, 0], values[:, 0], strict=True):
        wanted = gaussian_filter(value.astype(np.float64), sigma=4, mode="reflect", truncate=4)
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_the_blur_of_another_sigma_is_scipys_too() -> None:
    value = np.random.default_rng(4).random((20, 31)).astype(np.float32)
    blurred = gaussian_blur(torch.from_numpy(value)[None, None], sigma=1.5)[0, 0].numpy()
    np.testing.assert_allclose(blurred, gaussian_filter(value, 1.5, mode="reflect", truncate=4), atol=1e-6)


def test_upsampling_keeps_the_corners() -> None:
    small = torch.tensor([[0.0, 3.0], [6.0, 9.0]])[None, None]
    wanted = torch.tensor([[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]]).float()
    torch.testing.assert_close(upsample(small, (4, 4))[0, 0], wanted)
    torch.testing.assert_close(upsample(small, (2, 3))[0, 0], torch.tensor([[0, 1.5, 3], [6, 7.5, 9]]))


def test_the_score_is_the_mean_of_the_largest_pixels() -> None:
    maps = torch.tensor([[[[1.0, 5.0], [3.0, 2.0]]], [[[0.0, 0.0], [0.0, 8.0]]]])
    assert score(maps).tolist() == [5.0, 8.0]
    assert score(maps, top=2).tolist() == [4.0, 4.0]
    assert score(maps, top=4).tolist() == [2.75, 2.0]


@pytest.mark.parametrize(
    ("size", "scales"),
    [
        ((64, 64), [(16, 16), (8, 8), (4, 4)]),
        ((96, 160), [(24, 40), (12, 20), (6, 10)]),
        ((33, 47), [(9, 12), (5, 6), (3, 3)]),
        ((32, 64), [(8, 16), (4, 8), (2, 4)]),
        ((9, 31), [(3, 7), (1, 5), (1, 1)]),
    ],
)
@pytest.mark.parametrize("sigma", [4.0, 1.5])
def test_the_matrix_form_is_the_same_map(size: tuple[int, int], scales: list[tuple[int, int]], sigma: float) -> None:
    teacher, student = features(0, *scales), features(1, *scales)
    wanted = anomaly_map(teacher, student, size, sigma)[:, 0].numpy()
    found = np.zeros_like(wanted)
    for t, s in zip(teacher, student, strict=True):
        rows, columns = (head_matrix(t.shape[2 + axis], size[axis], sigma) for axis in (0, 1))
        assert rows.dtype == np.float32
        found += rows @ cosine_distance(t, s)[:, 0].numpy() @ columns.T
    np.testing.assert_allclose(found, wanted, atol=1e-5)
