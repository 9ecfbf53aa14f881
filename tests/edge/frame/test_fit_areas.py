"""Frames fitted with areas: what is ignored cannot be seen by the network, whatever happens there."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.areas import Area, Areas
from edge_inspect.edge.frame.fit import BLANK, Fit
from edge_inspect.edge.frame.placement import Placement

FITS = {
    "stretch": Fit(64, 96),
    "grey": Fit(64, 96, grey=True),
    "pad": Fit(96, 64, "pad"),
    "crop": Fit(64, 64, "crop"),
    "region": Fit(64, 64, "pad", region=(5, 4, 30, 25)),
    "tile": Fit(64, 64, "tile", tiles=(2, 3), overlap=16),
}
RING = st.lists(st.tuples(st.integers(-10, 260), st.integers(-10, 260)), min_size=3, max_size=6).map(tuple)


def with_areas(fit: Fit, size: tuple[int, int], *, look: tuple = (), ignore: tuple = ()) -> Fit:
    def named(rings: tuple, kind: str) -> tuple[Area, ...]:
        return tuple(Area(name=f"{kind} {i}", rings=(ring,)) for i, ring in enumerate(rings))

    return dataclasses.replace(fit, areas=Areas(size=size, look=named(look, "look"), ignore=named(ignore, "ignore")))


@given(
    st.sampled_from(sorted(FITS)),
    st.tuples(st.integers(36, 250), st.integers(36, 250)),
    st.lists(RING, max_size=2).map(tuple),
    st.lists(RING, max_size=2).map(tuple),
    st.integers(0, 2**32 - 1),
)
def test_nothing_that_is_ignored_changes_what_the_network_sees(
    name: str, size: tuple[int, int], look: tuple, ignore: tuple, seed: int
) -> None:
    try:
        fit = with_areas(FITS[name], size, look=look, ignore=ignore)
        blind, weights = fit.blind, fit.weights
    except (ValueError, UsageError):
        return  # nothing is left of the frame or of an area
    assert fit.areas is not None
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    other = np.where(fit.areas.looked_at()[..., None], frame, rng.integers(0, 256, frame.shape, np.uint8))
    kept = frame.copy()
    fitted, placement = fit.apply(frame)
    assert np.array_equal(fitted, fit.apply(other)[0])
    assert np.array_equal(frame, kept), "the camera's frame is left as it is"
    bare, place = FITS[name].apply(frame)
    assert placement == place
    assert np.array_equal(fitted[~blind], bare[~blind]) and (fitted[blind] == BLANK).all()
    assert weights is not None and np.array_equal(weights > 0, ~blind)


def test_a_pixel_is_looked_at_where_neither_padding_nor_an_ignored_pixel_has_a_part() -> None:
    fit = with_areas(Fit(64, 64, "pad"), (128, 64), ignore=(((0, 0), (31, 0), (31, 63), (0, 63)),))
    _, placement = fit.apply(np.zeros((64, 128, 3), np.uint8))
    looked_at = placement.looked_at(fit.canvas)
    assert placement.valid == (0, 16, 64, 48)
    expected = np.zeros((64, 64), bool)
    expected[16:48, 16:] = True
    assert np.array_equal(looked_at, expected)


def test_without_areas_all_but_the_padding_is_looked_at() -> None:
    placement = Placement(1, 1, 0, 0, (3, 5, 40, 64))
    looked_at = placement.looked_at((64, 64))
    assert looked_at[5:, 3:40].all() and looked_at.sum() == 59 * 37
    assert Fit(64, 64).weights is None and not Fit(64, 64).blind.any()


def test_a_frame_that_has_the_networks_size_is_not_written_to() -> None:
    fit = with_areas(Fit(64, 64), (64, 64), ignore=(((0, 0), (9, 0), (9, 9)),))
    frame = np.full((64, 64, 3), 7, np.uint8)
    fitted, _ = fit.apply(frame)
    assert (frame == 7).all() and (fitted[0, 5] == BLANK).all()


def test_factors_of_areas_weigh_the_map() -> None:
    areas = Areas(
        size=(64, 64),
        look=(
            Area(name="left", rings=(((0, 0), (20, 0), (20, 63), (0, 63)),), scale=2.0),
            Area(name="right", rings=(((40, 0), (63, 0), (63, 63), (40, 63)),), scale=0.5),
        ),
    )
    weights = Fit(64, 64, areas=areas).weights
    assert weights is not None and weights[30, 10] == 2 and weights[30, 50] == 0.5 and weights[30, 30] == 0


def test_where_areas_overlap_the_larger_factor_and_its_name_count() -> None:
    square = ((0, 0), (40, 0), (40, 63), (0, 63))
    other = ((30, 0), (63, 0), (63, 63), (30, 63))
    look = (Area(name="a", rings=(square,), scale=0.5), Area(name="b", rings=(other,), scale=2.0))
    fit = Fit(64, 64, areas=Areas(size=(64, 64), look=look))
    assert fit.weights is not None and [fit.weights[5, x] for x in (10, 35, 60)] == [0.5, 2, 2]
    assert [fit.area_at(x, 5) for x in (10, 35, 60)] == ["a", "b", "b"]
    assert Fit(64, 64).area_at(5, 5) is None


def test_a_frame_of_another_size_is_refused_with_the_remedy() -> None:
    fit = with_areas(Fit(64, 64), (128, 64), ignore=(((0, 0), (9, 0), (9, 9)),))
    with pytest.raises(UsageError, match="128x64 pixels, and this frame has 64x64; set the camera"):
        fit.apply(np.zeros((64, 64, 3), np.uint8))


def test_areas_outside_the_region_are_refused() -> None:
    fit = with_areas(Fit(64, 64, region=(0, 0, 32, 32)), (128, 64), look=(((60, 40), (90, 40), (90, 60)),))
    with pytest.raises(UsageError, match="no pixel of what the network sees is looked at"):
        fit.apply(np.zeros((64, 128, 3), np.uint8))
    beside = (((0, 0), (9, 0), (9, 9)), ((60, 40), (90, 40), (90, 60)))
    fit = with_areas(Fit(64, 64, region=(0, 0, 32, 32)), (128, 64), look=beside)
    with pytest.raises(UsageError, match="area 'look 1': nothing of it is looked at"):
        fit.apply(np.zeros((64, 128, 3), np.uint8))


def test_areas_travel_with_the_fit() -> None:
    fit = with_areas(Fit(64, 64), (128, 64), ignore=(((0, 0), (9, 0), (9, 9)),))
    again = Fit.from_dict(fit.as_dict())
    assert again == fit and np.array_equal(again.blind, fit.blind)
    assert "areas" not in Fit(64, 64).as_dict(), "what older programs do not know is not written without need"


def test_ignored_pixels_do_not_reach_over_opencvs_borders() -> None:
    """A lamp of one pixel, at each place of the frame in turn."""
    for place in range(0, 24 * 20, 7):
        y, x = divmod(place, 24)
        fit = with_areas(Fit(32, 32), (24, 20), ignore=(((x, y), (x, y), (x, y)),))
        dark, lit = (np.zeros((20, 24, 3), np.uint8) for _ in range(2))
        cv2.circle(lit, (x, y), 0, (255, 255, 255))
        assert np.array_equal(fit.apply(dark)[0], fit.apply(lit)[0])
