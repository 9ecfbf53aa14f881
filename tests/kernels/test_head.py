"""The second stage compared with models/discrepancy.py (map, score and mask) and edge/frame/tiles.py (tiles)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from kernels.host import HeadRun, Runner, distances, features, runner

from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.frame.tiles import Grid, Merger
from edge_inspect.edge.kernels.discrepancy import arrange
from edge_inspect.models.discrepancy import anomaly_map, gaussian_blur, score, upsample

SIZES = {
    "square": ((64, 64), [(16, 16), (8, 8), (4, 4)]),
    "two blocks across, four scales": ((96, 160), [(24, 40), (12, 20), (6, 10), (3, 5)]),
    "odd": ((33, 47), [(9, 12), (5, 6), (3, 3)]),
    "smaller than the kernel": ((9, 31), [(3, 7), (1, 5), (1, 1)]),
    "one scale, smaller below": ((20, 130), [(40, 17)]),
}


def maps_of(sizes: list[tuple[int, int]], frames: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.random((frames, *size), dtype=np.float32) * 2 for size in sizes]


def expected(maps: list[np.ndarray], size: tuple[int, int], sigma: float = 4.0) -> np.ndarray:
    total = sum(upsample(torch.from_numpy(m)[:, None], size) for m in maps)
    return gaussian_blur(total, sigma)[:, 0].numpy()


@pytest.mark.parametrize("sigma", [4.0, 1.5])
@pytest.mark.parametrize(("size", "sizes"), SIZES.values(), ids=SIZES)
def test_the_map_is_the_references(
    host: Runner, size: tuple[int, int], sizes: list[tuple[int, int]], sigma: float
) -> None:
    maps, head = maps_of(sizes, 2), HeadRun(sizes, Grid(size[1], size[0]), 2, sigma)
    head(host, maps, threshold=2.9)
    np.testing.assert_allclose(head.map, expected(maps, size, sigma), atol=1e-5, rtol=0)
    assert head.score.tolist() == head.map.max((1, 2)).tolist()
    np.testing.assert_array_equal(head.mask, head.map > np.float32(2.9))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float16, 2e-3)])
def test_both_stages_are_the_references_map_and_score(host: Runner, dtype: type, tolerance: float) -> None:
    shapes = [(64, 16, 24), (128, 8, 12), (256, 4, 6)]
    teacher, student = features(shapes, 2, dtype)
    head = HeadRun([shape[1:] for shape in shapes], Grid(96, 64), 2)
    head(host, distances(host, teacher, student), top=25)
    wanted = anomaly_map(*([torch.from_numpy(f) for f in side] for side in (teacher, student)), (64, 96))
    np.testing.assert_allclose(head.map, wanted[:, 0].numpy(), atol=tolerance, rtol=0)
    np.testing.assert_allclose(head.score, score(wanted, 25).numpy(), atol=tolerance, rtol=0)


@pytest.mark.parametrize("top", [1, 2, 7, 64, 500, 40 * 44])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_score_is_the_mean_of_the_top_inside_the_valid_part(library: Path, top: int, seed: int) -> None:
    maps, valid = maps_of([(12, 35), (6, 18)], 2, seed=top), (3, 5, 43, 49)
    maps[0][1] = np.round(maps[0][1])  # ties
    head = HeadRun([m.shape[1:] for m in maps], Grid(140, 50), 2, sigma=0.5)
    head(runner(library, seed), maps, valid=valid, top=top, threshold=2)
    seen = head.map[:, 5:49, 3:43].reshape(2, -1)
    wanted = np.sort(seen.astype(np.float64), axis=1)[:, -top:].mean(1)
    np.testing.assert_allclose(head.score, wanted, rtol=3e-7)
    outside = np.ones(head.mask.shape, bool)
    outside[:, 5:49, 3:43] = False
    assert not head.mask[outside].any()
    np.testing.assert_array_equal(head.mask[~outside], head.map[~outside] > 2)


@pytest.mark.parametrize("top", [1, 2, 7, 64, 500])
def test_only_pixels_with_a_weight_count_and_the_map_is_multiplied(library: Path, top: int) -> None:
    maps, valid = maps_of([(12, 35), (6, 18)], 2, seed=top), (3, 5, 43, 49)
    weights = np.random.default_rng(top).choice(np.array([0, 0, 0.5, 1, 2], np.float32), (50, 140))
    plain, head = (HeadRun([m.shape[1:] for m in maps], Grid(140, 50), 2, sigma=0.5) for _ in range(2))
    plain(runner(library), maps, valid=valid, top=top, threshold=2)
    head(runner(library), maps, valid=valid, top=top, threshold=2, weights=weights)
    np.testing.assert_array_equal(head.map, plain.map * weights)
    counts = np.zeros(weights.shape, bool)
    counts[5:49, 3:43] = weights[5:49, 3:43] > 0
    wanted = np.sort(head.map[:, counts].astype(np.float64), axis=1)[:, -top:].mean(1)
    np.testing.assert_allclose(head.score, wanted, rtol=3e-7)
    np.testing.assert_array_equal(head.mask, (head.map > 2) & counts)


def test_fewer_pixels_that_count_than_the_score_needs_are_refused(host: Runner) -> None:
    head, weights = HeadRun([(8, 8)], Grid(32, 32), 1), np.zeros((32, 32), np.float32)
    weights[3, 4:12] = 1
    with pytest.raises(EngineError, match="mean of 9 pixels, and 8 of the map count"):
        head(host, maps_of([(8, 8)], 1), top=9, weights=weights)


@pytest.mark.parametrize("top", [1, 30])
def test_equal_and_negative_values_are_selected_too(library: Path, top: int) -> None:
    """DMDD's map contains logits, so values may be negative."""
    head = HeadRun([(8, 8)], Grid(32, 32), 2, sigma=0.3)
    maps = np.stack([np.full((8, 8), -3.0), -1 - np.arange(64.0).reshape(8, 8)]).astype(np.float32)
    head(runner(library), [maps], top=top)
    wanted = np.sort(head.map.reshape(2, -1), axis=1)[:, -top:].mean(1)
    np.testing.assert_allclose(head.score, wanted, rtol=1e-6)


def test_launches_follow_each_other_without_clearing_anything(library: Path) -> None:
    head = HeadRun([(8, 40)], Grid(160, 32), 3)
    for seed in range(4):
        maps = maps_of([(8, 40)], 3, seed)
        head(runner(library, seed), maps, top=1 + 8 * (seed % 2))
        np.testing.assert_allclose(head.score, score(torch.from_numpy(head.map), 1 + 8 * (seed % 2)), rtol=1e-6)


@pytest.mark.parametrize("top", [1, 9])
def test_the_order_of_threads_and_blocks_changes_no_bit(library: Path, top: int) -> None:
    maps, head = maps_of([(12, 40), (6, 20)], 2), HeadRun([(12, 40), (6, 20)], Grid(160, 48), 2)
    found = []
    for seed in range(20):
        head(runner(library, seed), maps, top=top, threshold=2)
        found.append((head.map.copy(), head.mask.copy(), head.score.copy()))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("top", [1, 5])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (11, 30)])
def test_a_value_that_is_not_finite_makes_the_frames_score_nan(
    library: Path, value: float, place: tuple[int, int], top: int
) -> None:
    """This holds for values in the padding too, and only for that frame of the batch."""
    maps = maps_of([(12, 35)], 3)
    maps[0][(1, *place)] = value
    head = HeadRun([(12, 35)], Grid(140, 48), 3)
    head(runner(library), maps, valid=(40, 16, 80, 24), top=top)
    assert np.isnan(head.score).tolist() == [False, True, False]
    assert np.isnan(head.map[1]).any() and np.isfinite(head.map[[0, 2]]).all()


@pytest.mark.parametrize(("columns", "rows", "overlap"), [(2, 3, 16), (3, 1, 32), (1, 2, 8), (2, 2, 0)])
def test_tiles_are_merged_without_seams(host: Runner, columns: int, rows: int, overlap: int) -> None:
    sizes, grid = [(16, 24), (8, 12)], Grid(96, 64, columns, rows, overlap)
    tiles = maps_of(sizes, 2 * columns * rows)
    wanted = [Merger(grid).merge(frame).copy() for frame in np.split(expected(tiles, (64, 96)), 2)]
    together = [
        m.reshape(2, rows, columns, h, w).transpose(0, 1, 3, 2, 4).reshape(2, rows * h, columns * w)
        for m, (h, w) in zip(tiles, sizes, strict=True)
    ]
    head = HeadRun(sizes, grid, 2)
    head(host, [np.ascontiguousarray(m) for m in together], top=3)
    np.testing.assert_allclose(head.map, np.stack(wanted), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_the_maps_of_a_network_are_arranged(host: Runner, kind: str) -> None:
    given = np.random.default_rng(0).standard_normal((12, 5, 7)).astype(kind)  # 2 frames of 3 x 2 tiles
    found = np.full((2, 10, 21), np.nan, np.float32)
    host.run(arrange(host.address(given), host.address(found), (5, 7), 12, kind=kind, columns=3))
    wanted = given.reshape(2, 2, 3, 5, 7).transpose(0, 1, 3, 2, 4).reshape(2, 10, 21)
    np.testing.assert_array_equal(found, wanted.astype(np.float32))


def test_more_pixels_than_the_frame_covers_cannot_be_averaged(library: Path) -> None:
    head = HeadRun([(8, 8)], Grid(32, 32), 1)
    with pytest.raises(EngineError, match="mean of 7 pixels, and 6 of the map count"):
        head(runner(library), maps_of([(8, 8)], 1), valid=(0, 0, 2, 3), top=7)
