"""Resizing: the same pixels on every box, which whole numbers define."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pixel_digests import found, noise

from edge_inspect.edge.frame.resizing import resize, resize_steps

sides = st.integers(1, 130)


def shares(side: int, target: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the two pixels of a side that each pixel of the target takes, and the second one's share of 256."""
    place = 1 / (target / side) * (np.arange(target) + 0.5) - 0.5
    low = np.floor(place).astype(np.int64)
    share = np.rint((place - low) * 256).astype(np.int64)
    return np.clip(low, 0, side - 1), np.clip(low + 1, 0, side - 1), share


def exactly(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return a picture resized in one bilinear step with shares of 1/256, in whole numbers."""
    values = picture.astype(np.int64)
    low, high, share = shares(picture.shape[1], width)
    share = share[:, None]
    across = values[:, low] * (256 - share) + values[:, high] * share
    low, high, share = shares(picture.shape[0], height)
    share = share[:, None, None]
    return ((across[low] * (256 - share) + across[high] * share + 32768) >> 16).astype(np.uint8)


def test_pixels_are_those_of_every_other_box() -> None:
    """If this fails with a new OpenCV, bundles that were made with the old one no longer fit: see docs/bundles.md."""
    assert {name: here for name, (here, _) in found().items()} == {
        name: wanted for name, (_, wanted) in found().items()
    }


@given(sides, sides, sides, sides)
@settings(max_examples=150, deadline=None)
def test_every_step_is_exact_arithmetic(width: int, height: int, target_width: int, target_height: int) -> None:
    picture = noise(width, height, 3)
    wanted = picture
    for step in resize_steps((width, height), (target_width, target_height)):
        wanted = exactly(wanted, *step)
    np.testing.assert_array_equal(resize(picture, target_width, target_height), wanted)


@pytest.mark.parametrize("side", [49, 131, 257, 375, 383])
@pytest.mark.parametrize("to", [256, 512, 768])
def test_shares_between_two_units_are_rounded_alike(side: int, to: int) -> None:
    picture = noise(side, side, 3)
    np.testing.assert_array_equal(resize(picture, to, to), exactly(picture, to, to))


def test_a_halved_picture_is_the_mean_of_four_pixels_rounded_up() -> None:
    picture = noise(640, 480, 3)
    four = picture.reshape(240, 2, 320, 2, 3).astype(int).sum((1, 3))
    np.testing.assert_array_equal(resize(picture, 320, 240), (four + 2) // 4)


@pytest.mark.parametrize(("width", "height"), [(90, 100), (64, 333), (257, 49)])
def test_a_plane_of_float32_marks_every_pixel_that_a_marked_one_can_change(width: int, height: int) -> None:
    """`Fit.blind` relies on it: a pixel that is not looked at must not show through."""
    x, y = width // 2, height // 3
    black, plane = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.float32)
    white = black.copy()
    white[y, x], plane[y, x] = 255, 1
    changed = (resize(white, 64, 64) != resize(black, 64, 64)).any(axis=2)
    assert changed.any() and (resize(plane, 64, 64) > 0)[changed].all()
