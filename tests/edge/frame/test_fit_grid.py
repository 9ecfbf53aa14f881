"""The number of tiles of a fit, and the numbers that it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.fit import MODES, Fit
from edge_inspect.edge.frame.fit_modes import MOST_TILES
from edge_inspect.edge.frame.tiles import grid_for

network_sides = st.integers(1, 4).map(lambda n: 32 * n)


@pytest.mark.parametrize("mode", MODES)
def test_one_tile_is_cut_and_merged_as_it_is(mode: str) -> None:
    fit = Fit(64, 32, mode)
    fitted = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    assert fit.canvas == (64, 32)
    np.testing.assert_array_equal(fit.cut(fitted), fitted[None])
    values = np.random.default_rng(0).random((1, 32, 64), np.float32)
    np.testing.assert_array_equal(fit.merge(values), values[0])


@pytest.mark.parametrize(
    ("region", "grid"),
    [
        ((256, 256), (1, 1)),
        ((10, 300), (1, 2)),
        ((257, 480), (2, 2)),
        ((480, 704), (2, 3)),
        ((1000, 100), (5, 1)),
        ((928, 928), (4, 4)),
    ],
)
def test_a_grid_of_the_fewest_tiles_that_do_not_shrink(region: tuple[int, int], grid: tuple[int, int]) -> None:
    assert grid_for(region, (256, 256), 32) == grid


@given(st.integers(1, 4000), st.integers(1, 4000), network_sides, network_sides, st.integers(0, 16))
def test_a_grid_is_just_large_enough(w: int, h: int, nw: int, nh: int, overlap: int) -> None:
    try:
        columns, rows = grid_for((w, h), (nw, nh), overlap)
    except UsageError:
        columns, rows = -(-(w - overlap) // (nw - overlap)), -(-(h - overlap) // (nh - overlap))
        assert max(1, columns) * max(1, rows) > MOST_TILES
        return
    width, height = Fit(nw, nh, "tile", tiles=(columns, rows), overlap=overlap).canvas
    assert width >= w and height >= h
    assert columns == 1 or width - (nw - overlap) < w
    assert rows == 1 or height - (nh - overlap) < h


def test_too_many_tiles_are_refused_with_their_number_and_the_remedies() -> None:
    with pytest.raises(UsageError, match=r"4000x3000 pixels need 18x14 = 252 tiles of 256x256.*--tiles.*--region"):
        grid_for((4000, 3000), (256, 256), 32)
    with pytest.raises(UsageError, match="overlap 128 must lie between 0 and half a tile's side, 32"):
        grid_for((4000, 3000), (64, 256), 128)


@pytest.mark.parametrize("tiles", [(0, 1), (1, -2), (2,), (1, 2, 3), (2.0, 1), ("2", "1"), ()])
def test_tiles_are_two_positive_whole_numbers(tiles: tuple[object, ...]) -> None:
    with pytest.raises(UsageError, match="must be two positive whole numbers: columns, rows"):
        Fit.from_dict({"mode": "tile", "tiles": list(tiles)})


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "tile"])
def test_other_modes_have_one_tile(mode: str) -> None:
    with pytest.raises(UsageError, match=f"fit {mode} has one tile, not 3x1; use the fit tile for several"):
        Fit(mode=mode, tiles=(3, 1))


@pytest.mark.parametrize("overlap", [-1, 8.0, "8", None])
def test_an_overlap_is_a_whole_number(overlap: object) -> None:
    with pytest.raises(UsageError, match="must be a whole number of pixels, 0 or more"):
        Fit.from_dict({"mode": "tile", "overlap": overlap})


def test_an_overlap_is_at_most_half_a_tile_along_sides_that_have_neighbours() -> None:
    Fit(32, 256, "tile", tiles=(1, 2), overlap=128)
    with pytest.raises(UsageError, match="overlap 17 must be at most half a tile's side, 16"):
        Fit(32, 256, "tile", tiles=(2, 1), overlap=17)
