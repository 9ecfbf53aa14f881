from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.frame.areas import Area, Areas
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.pose import Pose
from edge_inspect.edge.frame_map import frame_map

FITS = {
    "crop": Fit(96, 64, "crop"),
    "stretch": Fit(64, 96, "stretch"),
    "pad": Fit(96, 96, "pad"),
    "tile": Fit(64, 64, "tile", tiles=(3, 2), overlap=16),
    "tile, large": Fit(256, 256, "tile", tiles=(4, 4), overlap=32),
    "region": Fit(64, 64, "stretch", region=(150, 90, 300, 260)),
}


def bright(fit: Fit, size: tuple[int, int], spot: tuple[float, float], pose: Pose | None = None) -> AnomalyMap:
    """Return the map of a network that returns brightness, for a black frame with a white spot of 14 pixels."""
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    cv2.circle(frame, (round(spot[0]), round(spot[1])), 7, (255, 255, 255), -1)
    if pose is not None:
        frame = np.asarray(cv2.warpAffine(frame, pose.to_frame, size, flags=cv2.WARP_INVERSE_MAP), np.uint8)
    fitted, placement = fit.apply(frame)
    values = fit.merge(fit.cut(fitted)[..., 0].astype(np.float32) / 255)
    values = values if placement.weights is None else values * placement.weights
    return AnomalyMap(values, replace(placement, pose=pose), float(values.max()))


def middle(levels: NDArray[np.uint8], size: tuple[int, int]) -> tuple[float, float]:
    """Return the centre of the highest levels of a picture that is stretched to a frame, in pixels of the frame."""
    rows, columns = np.nonzero(levels > 0.9 * levels.max())
    height, width = levels.shape
    return (columns.mean() + 0.5) * size[0] / width, (rows.mean() + 0.5) * size[1] / height


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("size", [(640, 480), (641, 479), (500, 560)])
@pytest.mark.parametrize("spot", [(240, 200), (300, 222), (255, 301)])
def test_the_map_lies_in_register_with_the_frame(name: str, size: tuple[int, int], spot: tuple[int, int]) -> None:
    levels = frame_map(bright(FITS[name], size, spot), size, 0.3)
    assert levels.dtype == np.uint8
    assert levels.shape == (round(size[1] * 320 / size[0]), 320)
    assert middle(levels, size) == pytest.approx((spot[0] + 0.5, spot[1] + 0.5), abs=6)


@pytest.mark.parametrize("pose", [Pose((31, -12), 0, centre=(320, 240)), Pose((-20, 9), 25), Pose((0, 0), -170)])
@pytest.mark.parametrize("name", ["crop", "stretch", "pad", "tile"])
def test_the_map_moves_and_turns_with_the_part(name: str, pose: Pose) -> None:
    size, spot = (640, 480), (300, 222)
    pose = replace(pose, centre=(320, 240))
    levels = frame_map(bright(FITS[name], size, spot, pose), size, 0.3)
    assert middle(levels, size) == pytest.approx((spot[0] + 0.5, spot[1] + 0.5), abs=6)


@given(
    st.sampled_from(["stretch", "crop", "pad"]),
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.integers(1, 400),
    st.floats(-0.5, 3),
)
@settings(max_examples=60, deadline=None)
def test_frames_of_any_shape_have_a_map(mode: str, size: tuple[int, int], width: int, threshold: float) -> None:
    placement = Fit(64, 32, mode).apply(np.zeros((size[1], size[0], 3), np.uint8))[1]  # type: ignore[arg-type]
    values = np.random.default_rng(0).uniform(0.1, 1, (32, 64)).astype(np.float32)
    levels = frame_map(AnomalyMap(values, placement, 1.0), size, threshold, width)
    across = min(width, size[0])
    assert levels.shape == (max(1, round(across * size[1] / size[0])), across)
    assert levels.any()


def test_levels_are_shares_of_the_threshold() -> None:
    placement = Fit(64, 64).apply(np.zeros((64, 64, 3), np.uint8))[1]
    values = np.zeros((64, 64), np.float32)
    values[8:24], values[24:40], values[40:52], values[52:] = 0.2, 0.4, 0.7, 5.0
    levels = frame_map(AnomalyMap(values, placement, 5.0), (64, 64), 0.4)
    assert [levels[row, 30] for row in (3, 16, 32, 46, 60)] == [0, 64, 128, 224, 255]


def test_a_narrow_peak_is_not_lost_between_two_pixels() -> None:
    fit = FITS["tile, large"]
    placement = fit.apply(np.zeros((900, 900, 3), np.uint8))[1]
    for at in range(400, 408):
        values = np.zeros(fit.canvas[::-1], np.float32)
        values[at, at] = 1.0
        assert frame_map(AnomalyMap(values, placement, 1.0), (900, 900), 0.8, 100).max() > 128


def test_the_level_is_zero_where_nothing_was_seen() -> None:
    fit = Fit(64, 64, region=(160, 120, 320, 240))
    placement = fit.apply(np.zeros((480, 640, 3), np.uint8))[1]
    levels = frame_map(AnomalyMap(np.ones((64, 64), np.float32), placement, 1.0), (640, 480), 1.0)
    expected = np.zeros((240, 320), np.uint8)
    expected[60:180, 80:240] = 128
    np.testing.assert_array_equal(levels, expected)


def test_the_level_is_zero_where_the_areas_say_not_to_look() -> None:
    lamp = Area(name="lamp", rings=(((200, 120), (360, 120), (360, 300), (200, 300)),))
    fit = Fit(64, 64, areas=Areas(size=(640, 480), ignore=(lamp,)))
    levels = frame_map(bright(fit, (640, 480), (280, 210)), (640, 480), 0.3)
    assert not levels[70:140, 110:170].any()


def test_a_part_that_was_not_found_has_an_empty_map() -> None:
    placement = Fit(64, 64).apply(np.zeros((480, 640, 3), np.uint8))[1]
    placement = replace(placement, pose=Pose(detail="absent"))
    levels = frame_map(AnomalyMap(np.ones((64, 64), np.float32), placement, np.inf), (640, 480), 0.5)
    assert levels.shape == (240, 320) and not levels.any()
