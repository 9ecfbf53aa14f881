"""Synthetic defects: their rules, determinism, and where texture comes from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_inspect.edge.demo.line import render_part
from edge_inspect.edge.errors import DataSetError, UsageError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import write_image
from edge_inspect.train.synthesis import OPERATIONS, VISIBLE, Synthesis, SyntheticDefect, defect_mask

FIT = Fit(96, 96, "crop")
FLANGES = np.stack([FIT.apply(render_part(seed).frame)[0] for seed in range(4)])


def same(one: SyntheticDefect, other: SyntheticDefect) -> bool:
    return np.array_equal(one.picture, other.picture) and np.array_equal(one.mask, other.mask)


def noise_pictures(count: int, height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def check(defect: SyntheticDefect, good: NDArray[np.uint8], foreground: NDArray[np.uint8]) -> None:
    picture, mask = defect.picture, defect.mask
    assert picture.shape == good.shape
    assert picture.dtype == mask.dtype == np.uint8
    assert mask.shape == good.shape[:2]
    assert set(np.unique(mask)) <= {0, 1}
    assert mask.sum() >= min(4, foreground.sum())
    assert not (mask & (1 - foreground)).any()
    assert np.array_equal(picture[mask == 0], good[mask == 0])
    change = np.abs(picture[mask > 0].astype(int) - good[mask > 0])
    assert change.mean() >= 0.99 * VISIBLE


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    index=st.integers(0, 1),
    turn=st.integers(0, 2**40),
    shares=st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 3),
    foreground=st.sampled_from(["full", "disc"]),
)
def test_any_draw_keeps_the_rules(
    height: int, width: int, index: int, turn: int, shares: tuple[float, float, float], foreground: str
) -> None:
    pictures = noise_pictures(2, 32 * height, 32 * width)
    options = dict(zip(("self_texture", "jitter", "opacity"), shares, strict=True))
    synthesis = Synthesis(pictures, seed=5, foreground=foreground, **options)
    check(synthesis.draw(index, turn), pictures[index], synthesis.foregrounds[index])


def test_a_draw_depends_on_seed_index_and_turn_alone() -> None:
    synthesis = Synthesis(FLANGES, seed=1)
    keys = [(index, turn) for index in range(4) for turn in range(6)]
    first = [synthesis.draw(*key) for key in keys]
    fresh = Synthesis(FLANGES, seed=1)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda key: fresh.draw(*key), reversed(keys)))
    assert all(same(one, other) for one, other in zip(first, reversed(again), strict=True))
    assert len({defect.mask.tobytes() for defect in first}) == len(keys)
    assert not same(first[0], Synthesis(FLANGES, seed=2).draw(0, 0))


def test_defects_lie_on_the_part() -> None:
    synthesis = Synthesis(FLANGES, seed=3)
    assert synthesis.foregrounds.shape == (4, 96, 96)
    assert 0.3 < synthesis.foregrounds.mean() < 0.5
    for turn in range(10):
        check(synthesis.draw(turn % 4, turn), FLANGES[turn % 4], synthesis.foregrounds[turn % 4])


def test_areas_are_those_of_draem() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([defect_mask(np.ones((128, 128), np.uint8), rng).mean() for _ in range(200)])
    assert 0.04 < np.median(shares) < 0.07
    assert shares.min() >= 4 / 128**2
    assert shares.max() <= 0.5


@pytest.mark.parametrize("pixels", [1, 3, 12, 60])
def test_a_tiny_part_still_gets_a_defect(pixels: int) -> None:
    foreground = np.zeros((64, 64), np.uint8)
    foreground[30, :pixels] = 1
    for seed in range(5):
        mask = defect_mask(foreground, np.random.default_rng(seed))
        assert mask.sum() >= 1
        assert not (mask & (1 - foreground)).any()


def test_a_defect_that_would_not_show_is_replaced_by_one_that_does() -> None:
    plain = np.full((1, 64, 64, 3), 120, np.uint8)  # shifted or shuffled, it stays as it is
    defect = Synthesis(plain, seed=0, self_texture=1).draw(0, 0)
    assert np.all(defect.picture[defect.mask > 0] == 120 + 128)
    assert np.all(defect.picture[defect.mask == 0] == 120)


def test_grey_pictures_get_grey_defects() -> None:
    grey = np.repeat(noise_pictures(1, 64, 64)[..., :1], 3, axis=-1)
    for turn in range(12):
        picture = Synthesis(grey, seed=0, jitter=1).draw(0, turn).picture
        assert np.array_equal(picture, np.repeat(picture[..., :1], 3, axis=-1))


def test_the_picture_itself_is_texture_when_asked_for() -> None:
    levels = np.array([0, 60, 120, 180], np.uint8)
    picture = np.repeat(levels[np.random.default_rng(0).integers(0, 4, (1, 64, 64, 1))], 3, axis=-1)
    synthesis = Synthesis(picture, seed=0, self_texture=1, opacity=0)
    for turn in range(12):
        assert set(np.unique(synthesis.draw(0, turn).picture)) <= set(levels.tolist())


def test_textures_from_a_folder_at_any_depth(tmp_path: Path) -> None:
    tones = {"a/red.png": (0, 0, 255), "b/c/green.png": (0, 255, 0), "blue.bmp": (255, 0, 0)}
    for name, tone in tones.items():
        write_image(tmp_path / name, np.full((5, 9, 3), tone, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    pictures = np.full((1, 64, 96, 3), 100, np.uint8)
    pictures[0, 0, 0] = (1, 2, 3)  # not grey
    synthesis = Synthesis(pictures, seed=0, textures=tmp_path, self_texture=0, jitter=0, opacity=0)
    seen = set()
    for turn in range(20):
        defect = synthesis.draw(0, turn)
        seen |= {tuple(pixel) for pixel in defect.picture[defect.mask > 0].tolist()}
    assert seen == set(tones.values())


def test_a_damaged_texture_is_named(tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"no picture at all")
    synthesis = Synthesis(noise_pictures(1, 32, 32), seed=0, textures=tmp_path, self_texture=0)
    with pytest.raises(DataSetError, match=r"texture .*torn\.png: is not a picture"):
        synthesis.draw(0, 0)


def test_a_folder_without_textures_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="no such folder of textures"):
        Synthesis(noise_pictures(1, 32, 32), seed=0, textures=tmp_path / "none")
    with pytest.raises(DataSetError, match="holds no textures; expected pictures"):
        Synthesis(noise_pictures(1, 32, 32), seed=0, textures=tmp_path)


@pytest.mark.parametrize("option", ["self_texture", "jitter", "opacity"])
def test_shares_lie_between_0_and_1(option: str) -> None:
    with pytest.raises(UsageError, match=f"{option} 1.5 must be from 0 to 1"):
        Synthesis(noise_pictures(1, 32, 32), seed=0, **{option: 1.5})


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_every_operation_changes_a_picture_and_nothing_else(operation) -> None:
    texture = cv2.GaussianBlur(noise_pictures(1, 48, 80)[0], (0, 0), 2)
    kept = texture.copy()
    results = [operation(texture, np.random.default_rng(seed)) for seed in range(6)]
    for result in results:
        assert result.shape == texture.shape
        assert result.dtype == np.uint8
    assert any(not np.array_equal(result, texture) for result in results)
    assert np.array_equal(texture, kept)
    flat = operation(np.full((32, 32, 3), 7, np.uint8), np.random.default_rng(0))
    assert flat.shape == (32, 32, 3)
