from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.edge.frame.tiles import Grid, Merger

few = settings(max_examples=30, deadline=None)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    width, height = draw(st.integers(8, 80)), draw(st.integers(8, 80))
    overlap = draw(st.integers(0, min(width, height) // 2))
    return Grid(width, height, draw(st.integers(1, 4)), draw(st.integers(1, 4)), overlap)


def shape(grid: Grid) -> tuple[int, int]:
    return grid.canvas[1], grid.canvas[0]


def cut(grid: Grid, values: np.ndarray) -> np.ndarray:
    return np.stack([values[place] for place in grid.places()])


@given(grids())
@few
def test_the_tiles_cover_the_canvas_and_nothing_else(grid: Grid) -> None:
    covered = np.zeros(shape(grid), int)
    for rows, columns in grid.places():
        assert (rows.stop - rows.start, columns.stop - columns.start) == (grid.height, grid.width)
        covered[rows, columns] += 1
    assert covered.min() == 1
    assert grid.places()[-1][0].stop == covered.shape[0] and grid.places()[-1][1].stop == covered.shape[1]
    assert covered.max() <= 4, "at most half a tile overlaps, so no more than two meet along a side"


def test_tiles_are_counted_row_by_row() -> None:
    grid = Grid(10, 8, 3, 2, 4)
    assert grid.canvas == (22, 12)
    canvas = np.random.default_rng(0).integers(0, 256, (12, 22, 3), np.uint8)
    tiles = grid.cut(canvas)
    assert tiles.shape == (6, 8, 10, 3)
    np.testing.assert_array_equal(tiles[1], canvas[:8, 6:16])
    np.testing.assert_array_equal(tiles[3], canvas[4:, :10])


@given(grids(), st.floats(-2, 2))
@few
def test_weights_sum_to_one_everywhere(grid: Grid, value: float) -> None:
    maps = np.full((grid.count, grid.height, grid.width), value, np.float32)
    merged = Merger(grid).merge(maps)
    assert merged.shape == shape(grid) and merged.dtype == np.float32
    np.testing.assert_allclose(merged, value, atol=1e-6)


@given(grids(), st.integers(0, 9))
@few
def test_what_was_cut_is_merged_to_itself(grid: Grid, seed: int) -> None:
    y, x = np.indices(shape(grid))
    waves = np.random.default_rng(seed).uniform(0.02, 0.3, 4)
    smooth = (np.sin(waves[0] * x + waves[1] * y) + np.cos(waves[2] * x - waves[3] * y)).astype(np.float32)
    np.testing.assert_allclose(Merger(grid).merge(cut(grid, smooth)), smooth, atol=1e-5)
    rough = np.random.default_rng(seed).random(shape(grid), np.float32)
    np.testing.assert_allclose(Merger(grid).merge(cut(grid, rough)), rough, atol=1e-5)


@given(grids().filter(lambda grid: grid.overlap > 0), st.integers(0, 9))
@few
def test_tiles_that_disagree_make_no_seam(grid: Grid, seed: int) -> None:
    """If neighbouring tiles differ by d, adjacent pixels differ at most by what the ramp's steepest slope allows."""
    offsets = np.random.default_rng(seed).uniform(0, 1, grid.count).astype(np.float32)
    merged = Merger(grid).merge(np.ones((grid.count, grid.height, grid.width), np.float32) * offsets[:, None, None])
    steepest = np.ptp(offsets) * np.sin(np.pi / 2 / grid.overlap) if grid.overlap > 1 else np.ptp(offsets)
    for axis in (0, 1):
        assert np.abs(np.diff(merged, axis=axis)).max() <= steepest + 1e-6
    assert offsets.min() - 1e-6 <= merged.min() and merged.max() <= offsets.max() + 1e-6


def test_the_rim_of_a_tile_counts_least() -> None:
    grid = Grid(64, 64, 2, 1, 32)
    maps = np.zeros((2, 64, 64), np.float32)
    maps[0, :, -1] = maps[1, :, 0] = 1  # where the network sees no surroundings
    merged = Merger(grid).merge(maps)
    assert merged.max() < 0.001


def test_one_tile_is_the_canvas() -> None:
    values = np.random.default_rng(0).random((1, 32, 48), np.float32)
    np.testing.assert_array_equal(Merger(Grid(48, 32, overlap=1000)).merge(values), values[0])


def test_a_merger_takes_maps_one_at_a_time_and_forgets_the_last_frame() -> None:
    """Yield maps as an engine does: in one buffer, which each tile overwrites."""
    grid = Grid(16, 16, 2, 2, 4)
    merger, buffer = Merger(grid), np.zeros((16, 16), np.float32)

    def maps(first: float) -> object:
        for i in range(4):
            buffer[:] = first + i
            yield buffer

    one = merger.merge(maps(5)).copy()
    two = merger.merge(maps(7))
    assert two is merger.values
    np.testing.assert_allclose(two - one, 2, atol=1e-5)
    assert (one[:12, :12] == 5).all() and one[-1, -1] == 8


@pytest.mark.parametrize("count", [3, 5])
def test_a_wrong_number_of_maps_is_a_bug(count: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        Merger(Grid(16, 16, 2, 2, 4)).merge(np.zeros((count, 16, 16), np.float32))


def test_what_is_not_finite_stays_so() -> None:
    maps = np.zeros((2, 16, 16), np.float32)
    maps[1, 3, 0] = np.nan
    assert np.isnan(Merger(Grid(16, 16, 2, 1, 4)).merge(maps)[3, 12])
