"""Whether one map is better than another by more than chance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edge_inspect.train.bootstrap import gain, worths_of_samples
from edge_inspect.train.validation import smoothed, worth

SIZE, FLAWS = 64, 3


def material(groups: int, strength: float, seed: int, noise: int = 0) -> tuple[torch.Tensor, NDArray[np.uint8]]:
    """Maps of noise in which flaws stand out by `strength`; the same seed gives the same flaws, `noise` other noise."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((groups * (1 + FLAWS), SIZE, SIZE), np.uint8)
    for i in range(len(masks)):
        if i % (1 + FLAWS):
            y, x = rng.integers(0, SIZE - 12, 2)
            masks[i, y : y + 12, x : x + 12] = 1
    drawn = np.random.default_rng([seed, noise]).normal(size=(len(masks), 1, SIZE // 4, SIZE // 4))
    small = torch.nn.functional.avg_pool2d(torch.from_numpy(masks).float()[:, None], 4)
    return torch.from_numpy(drawn).float() + strength * small, masks


@pytest.mark.parametrize("strength", [0.0, 1.0, 2.5, 8.0])
def test_a_sample_of_all_pictures_is_worth_what_they_are(strength: float) -> None:
    maps, masks = material(10, strength, 1)
    whole = worths_of_samples(smoothed(maps, masks), masks, np.ones(masks.shape, bool), np.ones((1, 10)))
    assert whole[0] == pytest.approx(worth(maps, masks), abs=0.003)


@pytest.mark.parametrize("strength", [1.0, 2.5])
def test_the_error_is_how_much_the_difference_varies_from_one_set_of_pictures_to_another(strength: float) -> None:
    found = []
    for seed in range(24):
        (one, masks), (other, _) = material(12, strength, seed), material(12, strength, seed, noise=1)
        found.append(gain(one, other, masks))
    told = np.mean([each.error for each in found])
    assert told == pytest.approx(np.std([each.difference for each in found], ddof=1), rel=0.5)


def test_a_map_that_is_no_better_is_not_surely_better() -> None:
    maps, masks = material(8, 2.0, 5)
    same = gain(maps, maps * 3 + 1, masks)
    assert same.difference == pytest.approx(0, abs=1e-6) and same.error == pytest.approx(0, abs=1e-6)
    assert not gain(maps, maps, masks).sure
    better, _ = material(8, 8.0, 5)
    assert gain(better, maps, masks).sure and not gain(maps, better, masks).sure
    forth, back = gain(better, maps, masks), gain(maps, better, masks)
    assert forth.difference == pytest.approx(-back.difference) and forth.error == pytest.approx(back.error)


def test_maps_of_other_resolutions_are_compared() -> None:
    maps, masks = material(6, 3.0, 2)
    large = torch.nn.functional.interpolate(maps, size=(SIZE, SIZE), mode="bilinear", align_corners=True)
    assert gain(maps, large, masks).difference == pytest.approx(0, abs=1e-6)


def test_one_picture_tells_nothing_of_chance() -> None:
    better, masks = material(1, 8.0, 3)
    worse, _ = material(1, 0.0, 3)
    found = gain(better, worse, masks)
    assert found.error == float("inf") and not found.sure


def test_padding_does_not_count() -> None:
    maps, masks = material(6, 3.0, 4)
    valid = np.ones(masks.shape, bool)
    valid[:, :, :16] = False
    loud = maps.clone()
    loud[:, :, :, :2] += 100 * torch.rand(len(maps), 1, SIZE // 4, 2)
    masks[:, :, :32] = 0
    masks[1 :: 1 + FLAWS, 30:40, 40:50] = masks[2 :: 1 + FLAWS, 30:40, 40:50] = masks[3 :: 1 + FLAWS, 9:20, 40:50] = 1
    apart = gain(loud, maps, masks, valid)
    assert abs(apart.difference) < 0.05
    assert gain(loud, maps, masks).difference < -0.1
