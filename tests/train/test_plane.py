"""The plane of the frame: maps and masks of any size and fit, brought to the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.fit_modes import Mode
from edge_inspect.edge.frame.placement import Placement
from edge_inspect.train.plane import LONGEST, fill_unseen, map_in_plane, mask_in_plane, plane_of

EIGHT = np.ones((3, 3))
sides = st.integers(1, 1500)


def placed(fit: Fit, width: int, height: int) -> Placement:
    return fit.apply(np.zeros((height, width, 3), np.uint8))[1]


@given(sides, sides)
@settings(deadline=None, max_examples=100)
def test_a_plane_has_the_frames_proportions_and_is_never_larger(width: int, height: int) -> None:
    w, h = plane_of((width, height))
    assert 1 <= w <= min(width, LONGEST) and 1 <= h <= min(height, LONGEST)
    assert (w, h) == (width, height) or max(w, h) == LONGEST
    assert abs(w / width - h / height) * min(width, height) <= 1


@pytest.mark.parametrize("size", [(1130, 460), (640, 480), (103, 289), (4000, 31)])
@pytest.mark.parametrize("mode", ["stretch", "pad", "crop", "tile"])
def test_a_plain_map_stays_plain_where_the_fit_sees(size: tuple[int, int], mode: Mode) -> None:
    fit = Fit(96, 64, mode, tiles=(2, 1) if mode == "tile" else (1, 1), overlap=8)
    placement = placed(fit, *size)
    found = map_in_plane(np.full(fit.canvas[::-1], 0.7, np.float32), placement, size)
    assert found.shape == plane_of(size)[::-1]
    seen = ~np.isnan(found)
    np.testing.assert_allclose(found[seen], 0.7, atol=1e-6)
    assert seen.all() == (mode != "crop")
    if mode == "crop":
        x0, y0, x1, y1 = placement.seen
        assert seen.mean() == pytest.approx((x1 - x0) * (y1 - y0) / (size[0] * size[1]), abs=0.05)


@pytest.mark.parametrize("mode", ["stretch", "pad", "tile"])
@pytest.mark.parametrize("size", [(1200, 600), (300, 400), (512, 512)])
def test_a_spot_is_at_its_place_whatever_the_fit(size: tuple[int, int], mode: Mode) -> None:
    width, height = size
    fit = Fit(256, 256, mode, tiles=(2, 1) if mode == "tile" else (1, 1))
    frame = np.zeros((height, width, 3), np.uint8)
    frame[height // 4 : height // 2, width // 8 : width // 4] = 255
    fitted, placement = fit.apply(frame)
    found = map_in_plane(fitted[:, :, 0].astype(np.float32) / 255, placement, size) > 0.5
    truth = mask_in_plane(frame[:, :, 0] // 255) > 0
    assert (found & truth).sum() / (found | truth).sum() > 0.9


def test_a_mask_of_a_small_frame_stays_as_it_was_drawn() -> None:
    mask = (np.random.default_rng(0).random((256, 256)) < 0.1).astype(np.uint8)
    np.testing.assert_array_equal(mask_in_plane(mask), mask)


@pytest.mark.parametrize("frame", [(460, 1130), (3000, 4000), (2048, 64)])
def test_no_defect_is_too_small_to_remain(frame: tuple[int, int]) -> None:
    mask = np.zeros(frame, np.uint8)
    places = [(frame[0] // 5, frame[1] // 7), (frame[0] // 2, frame[1] // 2), (frame[0] - 1, frame[1] - 1)]
    for y, x in places:
        mask[y, x] = 1
    assert label(mask_in_plane(mask), EIGHT)[1] == len(places)


def test_a_large_defect_keeps_its_area() -> None:
    mask = np.zeros((2000, 2000), np.uint8)
    mask[301:1111, 97:640] = 1
    assert mask_in_plane(mask).mean() == pytest.approx(mask.mean(), rel=0.01)


@given(st.integers(0, 2**32 - 1), st.integers(513, 900), st.integers(1, 300))
@settings(deadline=None, max_examples=30)
def test_a_mask_marks_only_what_it_touches_and_all_that_it_covers(seed: int, width: int, height: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(4):
        y, x = rng.integers(0, height), rng.integers(0, width)
        mask[y : y + rng.integers(1, 40), x : x + rng.integers(1, 40)] = 1
    found = mask_in_plane(mask)
    assert set(np.unique(found)) <= {0, 1}
    h, w = found.shape
    for y, x in zip(*np.nonzero(found), strict=True):
        rows = slice(int(y * height / h), int(np.ceil((y + 1) * height / h)))
        assert mask[rows, int(x * width / w) : int(np.ceil((x + 1) * width / w))].any()
    assert label(found, EIGHT)[1] >= 1


def test_what_no_fit_sees_counts_as_the_lowest_value_of_all_maps() -> None:
    first, second = np.array([[1.0, np.nan]], np.float32), np.array([[-2.0, 3.0]], np.float32)
    fill_unseen([first, second])
    np.testing.assert_array_equal(first, [[1, -2]])
    np.testing.assert_array_equal(second, [[-2, 3]])
