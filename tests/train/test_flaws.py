"""Flaws: on the part, in the mask to the bit, seen, and each kind as it says."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_inspect.edge.demo.line import render_part
from edge_inspect.edge.errors import UsageError
from edge_inspect.train.flaws import KINDS, LARGEST, Flaws, dent, gap, misplaced, scratch, smear, stain
from edge_inspect.train.synthesis import visible

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.stack([cv2.resize(render_part(i).frame, (96, 64), interpolation=cv2.INTER_AREA) for i in range(3)])


@pytest.fixture
def soft() -> np.ndarray:
    y, x = np.indices((64, 96), np.float32)
    return np.clip(1 - np.hypot(x - 40, y - 30) / 12, 0, 1).astype(np.float32)


def test_the_picture_is_the_good_one_wherever_the_mask_is_0(pictures: np.ndarray) -> None:
    flaws = Flaws(pictures, seed=1)
    for index in range(3):
        for turn in range(12):
            flaw = flaws.draw(index, turn)
            assert flaw.mask.dtype == np.uint8 and 0 < flaw.mask.sum() <= 2 * LARGEST * flaw.mask.size
            assert (flaw.picture[flaw.mask == 0] == pictures[index][flaw.mask == 0]).all()
            assert (flaws.foregrounds[index][flaw.mask > 0] == 1).all()
            assert visible(flaw.picture, pictures[index], flaw.mask)


def test_seed_index_and_turn_decide(pictures: np.ndarray) -> None:
    first = Flaws(pictures, seed=1).draw(1, 2)
    again = Flaws(pictures, seed=1).draw(1, 2)
    assert (first.picture == again.picture).all() and (first.mask == again.mask).all()
    for other in (Flaws(pictures, seed=2).draw(1, 2), Flaws(pictures, seed=1).draw(1, 3)):
        assert (other.mask != first.mask).any()


def test_where_nothing_can_be_seen_grey_levels_are_moved() -> None:
    even = np.full((1, 64, 64, 3), 90, np.uint8)
    for turn in (2, 3, 4, 5):  # smear, dent, gap and misplaced change nothing here
        flaw = Flaws(even, seed=0).draw(0, turn)
        assert (flaw.picture != even[0]).any() and flaw.mask.any()


def test_a_grey_picture_stays_grey(pictures: np.ndarray) -> None:
    grey = np.repeat(pictures.mean(3, keepdims=True).astype(np.uint8), 3, axis=3)
    for turn in range(12):
        flaw = Flaws(grey, seed=3).draw(0, turn)
        assert (flaw.picture == flaw.picture[..., :1]).all()


def test_an_unknown_foreground_is_refused(pictures: np.ndarray) -> None:
    with pytest.raises(UsageError, match="foreground 'moon' is unknown"):
        Flaws(pictures, seed=0, foreground="moon")


@pytest.mark.parametrize("kind", [scratch, stain])
def test_a_scratch_or_stain_is_darker_or_brighter_everywhere(kind: Callable[..., np.ndarray], soft: np.ndarray) -> None:
    even = np.full((64, 96, 3), 128, np.uint8)
    signs = set()
    for seed in range(8):
        change = kind(even, soft, RNG(seed)).astype(int) - 128
        signs.add(int(np.sign(change[30, 40, 0])))
        assert (np.sign(change[soft > 0.2]) == np.sign(change[30, 40, 0])).all() and (change[soft == 0] == 0).all()
        assert np.abs(change[30, 40, 0]) >= 20
    assert signs == {-1, 1}


def test_a_smear_takes_contrast_away(soft: np.ndarray) -> None:
    noise = RNG(0).integers(0, 255, (64, 96, 3), np.uint8)
    inside = soft > 0.7
    assert smear(noise, soft, RNG(1))[inside].std() < 0.6 * noise[inside].std()


def test_a_dent_moves_what_is_there(soft: np.ndarray) -> None:
    y, x = np.indices((64, 96))
    ramp = np.repeat((2 * x[..., None]).astype(np.uint8), 3, axis=2)
    moved = [int(dent(ramp, soft, RNG(seed))[30, 40, 0]) - 80 for seed in range(6)]
    assert max(moved) > 2 and min(moved) < -2
    assert (dent(ramp, soft, RNG(0))[soft == 0] == ramp[soft == 0]).all()


def test_a_gap_shows_its_surroundings(soft: np.ndarray) -> None:
    picture = np.full((64, 96, 3), 200, np.uint8)
    picture[27:34, 37:44] = 20
    assert gap(picture, soft, RNG(0))[27:34, 37:44].min() > 190


def test_a_misplaced_piece_is_of_the_same_picture(soft: np.ndarray) -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, 60:] = 200
    shown = [misplaced(picture, soft, RNG(seed))[30, 40, 0] for seed in range(20)]
    assert 0 in shown and max(shown) > 100


def test_every_kind_is_drawn(pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def recorded(kind):
        def draw(good, shape, rng):
            drawn.append(kind)
            return good ^ 64

        return draw

    monkeypatch.setattr("edge_inspect.train.flaws.KINDS", tuple(recorded(kind) for kind in KINDS))
    flaws = Flaws(pictures, seed=0)
    for turn in range(len(KINDS)):
        flaws.draw(0, turn)
    assert drawn == list(KINDS)


@pytest.mark.parametrize("columns", [8, 30, 63])
@pytest.mark.parametrize("foreground", ["full", "auto", "disc"])
def test_no_flaw_lies_in_the_padding(columns: int, foreground: str) -> None:
    pictures = np.random.default_rng(0).integers(60, 200, (3, 64, 64, 3), np.uint8)
    valid = np.zeros((3, 64, 64), bool)
    valid[:, :, :columns] = True
    flaws = Flaws(pictures, seed=1, foreground=foreground, valid=valid)
    for turn in range(6):
        for i in range(3):
            flaw = flaws.draw(i, turn)
            assert flaw.mask.any() and not flaw.mask[~valid[i]].any()
            assert np.array_equal(flaw.picture[~valid[i]], pictures[i][~valid[i]])


def test_a_part_that_is_found_in_the_padding_alone_gives_way_to_the_frame() -> None:
    pictures = np.full((1, 64, 64, 3), 200, np.uint8)
    pictures[:, 20:44, 20:44] = 20
    valid = np.zeros((1, 64, 64), bool)
    valid[:, :, :10] = True
    flaws = Flaws(pictures, seed=0, foreground="otsu-inverse", valid=valid)
    assert np.array_equal(flaws.foregrounds[0] > 0, valid[0])
