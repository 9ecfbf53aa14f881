"""The first stage compared with models/discrepancy.py, and its results for values that are not finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kernels.host import Runner, distances, features, runner

from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.kernels.discrepancy import FeaturePair, Layout, distance
from edge_inspect.models.discrepancy import cosine_distance

TOLERANCE = {np.float32: 1e-5, np.float16: 2e-3}
SHAPES = {
    "vectors of 16 bytes": [(64, 16, 16), (128, 8, 8), (256, 4, 4)],
    "many channels on the largest map": [(128, 16, 16), (200, 8, 8), (256, 4, 4)],
    "odd sizes": [(64, 13, 11), (40, 7, 5), (24, 3, 3)],
    "channels that fill no vector": [(13, 8, 8), (67, 6, 4), (1, 2, 4)],
    "one pixel, many channels": [(515, 1, 1)],
    "four scales": [(8, 9, 16), (16, 5, 8), (32, 3, 4), (64, 2, 2)],
}


def expected(teacher: list[np.ndarray], student: list[np.ndarray]) -> list[np.ndarray]:
    pairs = [
        (torch.from_numpy(t).double(), torch.from_numpy(s).double()) for t, s in zip(teacher, student, strict=True)
    ]
    cosine = torch.nn.functional.cosine_similarity
    for t, s in pairs:  # the reference in float32 is itself within the tolerance of float64
        assert (cosine_distance(t, s)[:, 0] - (1 - cosine(t, s, dim=1, eps=1e-8))).abs().max() < 2e-6
    return [cosine_distance(t, s)[:, 0].numpy() for t, s in pairs]


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_the_maps_are_the_references(
    host: Runner, shapes: list[tuple[int, int, int]], dtype: type, layout: Layout
) -> None:
    teacher, student = features(shapes, 3, dtype)
    for found, wanted in zip(distances(host, teacher, student, layout=layout), expected(teacher, student), strict=True):
        np.testing.assert_allclose(found, wanted, atol=TOLERANCE[dtype] / 4, rtol=0)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_the_order_of_threads_and_blocks_changes_no_bit(library, layout: Layout) -> None:
    teacher, student = features(SHAPES["odd sizes"], 2, np.float32)
    first, *others = [distances(runner(library, seed), teacher, student, layout=layout) for seed in range(5)]
    for other in others:
        for one, two in zip(first, other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_an_address_that_is_no_multiple_of_16_is_read_value_by_value(library) -> None:
    """TensorRT's outputs are aligned, but a view into a batch may not be. The shim fails if 16 bytes are loaded."""
    rng = np.random.default_rng(0)
    memory = rng.random((2, 1 + 8 * 16), dtype=np.float32)
    teacher, student = (side[1:].reshape(1, 8, 4, 4) for side in memory)
    assert teacher.ctypes.data % 16 and teacher.flags.c_contiguous
    (found,) = distances(runner(library), [teacher], [student])
    np.testing.assert_allclose(found, expected([teacher], [student])[0], atol=1e-6)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_zero_vectors_are_1_apart(host: Runner, dtype: type, layout: Layout) -> None:
    zero, one = np.zeros((1, 16, 4, 4), dtype), np.ones((1, 16, 4, 4), dtype)
    for t, s in ((zero, zero), (zero, one), (one, zero)):
        (found,) = distances(host, [t], [s], layout=layout)
        assert found.tolist() == np.ones((1, 4, 4)).tolist()


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_makes_its_pixel_nan(
    library, value: float, side: int, dtype: type, layout: Layout
) -> None:
    """This includes a NaN beside a zero vector, whose product would hide it."""
    for other in (0, 1):
        pair = [np.full((2, 20, 3, 5), other if i != side else 1, dtype) for i in (0, 1)]
        pair[side][1, 13, 2, 4] = value
        (found,) = distances(runner(library), [pair[0]], [pair[1]], layout=layout)
        assert np.isnan(found[1, 2, 4])
        assert np.isfinite(found).sum() == found.size - 1


def test_vectors_too_long_for_float32_are_not_taken_for_far_apart(library) -> None:
    """Division by an infinite length would give a cosine of 0."""
    long, short = np.full((1, 4, 2, 2), 1e20, np.float32), np.ones((1, 4, 2, 2), np.float32)
    assert np.isnan(distances(runner(library), [long], [short])[0]).all()


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_tiles_of_a_frame_come_to_lie_side_by_side(host: Runner, layout: Layout) -> None:
    teacher, student = features([(16, 5, 6), (32, 3, 2)], 12, np.float32)  # 2 frames of 3 x 2 tiles
    for found, one in zip(
        distances(host, teacher, student, layout=layout, grid=(3, 2)), expected(teacher, student), strict=True
    ):
        _, h, w = one.shape
        wanted = one.reshape(2, 2, 3, h, w).transpose(0, 1, 3, 2, 4).reshape(2, 2 * h, 3 * w)
        np.testing.assert_allclose(found, wanted, atol=2.5e-6)


def test_five_scales_are_refused() -> None:
    scale = FeaturePair(0, 0, 0, 8, 4, 4)
    with pytest.raises(EngineError, match="1 to 4 scales, not 5"):
        distance([scale] * 5, 1)
