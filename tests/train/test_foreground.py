"""Where the part is: policies, doubt, determinism."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_inspect.edge.demo.line import render_part
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.train.foreground import POLICIES, foreground_mask, foreground_masks
from edge_inspect.train.textures import render_textures

TRUTH = cv2.circle(np.zeros((128, 192), np.uint8), (90, 60), 35, 1, -1)


def part(*, ground: tuple[int, int, int], body: tuple[int, int, int], seed: int = 0) -> NDArray[np.uint8]:
    """A noisy disc with a bore on a plain ground."""
    picture = np.where(TRUTH[..., None] > 0, np.array(body), np.array(ground)).astype(np.uint8)
    cv2.circle(picture, (90, 60), 8, ground, -1)
    noise = np.random.default_rng(seed).normal(0, 6, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


BRIGHT = part(ground=(30, 30, 30), body=(170, 175, 180))
DARK = part(ground=(200, 205, 210), body=(50, 60, 40))
COLOURED = part(ground=(60, 160, 60), body=(60, 60, 190))  # much the same grey


def overlap(mask: NDArray[np.uint8]) -> float:
    return float((mask & TRUTH).sum() / (mask | TRUTH).sum())


@pytest.mark.parametrize(
    ("picture", "policy"),
    [
        (BRIGHT, "auto"),
        (DARK, "auto"),
        (COLOURED, "auto"),
        (BRIGHT, "otsu"),
        (DARK, "otsu-inverse"),
        (BRIGHT, "grabcut"),
        (COLOURED, "grabcut"),
    ],
)
def test_the_part_is_found_with_its_bore(picture: NDArray[np.uint8], policy: str) -> None:
    mask = foreground_mask(picture, policy)
    assert overlap(mask) > 0.85
    assert mask[60, 90] == 1


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("picture", [BRIGHT, np.full((32, 64, 3), 90, np.uint8), np.zeros((96, 32, 3), np.uint8)])
def test_a_mask_is_binary_of_the_pictures_size_and_within_bounds(picture: NDArray[np.uint8], policy: str) -> None:
    mask = foreground_mask(picture, policy)
    assert mask.shape == picture.shape[:2]
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 1}
    assert mask.all() or 0.02 <= mask.mean() <= 0.98


def test_full_and_disc_do_not_look_at_the_picture() -> None:
    assert foreground_mask(BRIGHT, "full").all()
    disc = foreground_mask(BRIGHT, "disc")
    assert disc.mean() == pytest.approx(np.pi * 0.45**2, abs=0.01)
    assert disc[64, 96] == 1
    assert disc[0, 0] == 0


def test_auto_takes_textures_whole_and_finds_rendered_parts() -> None:
    textures = np.stack(list(render_textures(40, (64, 64), seed=3)))
    assert np.mean([foreground_mask(texture).all() for texture in textures]) > 0.85
    fit = Fit(128, 128, "crop")
    flanges = np.stack([fit.apply(render_part(seed).frame)[0] for seed in range(3)])
    shares = foreground_masks(flanges).mean(axis=(1, 2))
    assert np.all((shares > 0.35) & (shares < 0.5))


def test_a_speck_or_nearly_everything_is_the_whole_frame() -> None:
    speck = np.full((128, 128, 3), 200, np.uint8)
    speck[60:66, 60:66] = 0
    for policy in ("auto", "otsu", "otsu-inverse"):
        assert foreground_mask(speck, policy).all(), policy


def test_pictures_of_one_product_vote() -> None:
    texture = np.random.default_rng(0).integers(0, 255, BRIGHT.shape, dtype=np.uint8)
    assert foreground_masks(np.stack([texture, texture, BRIGHT])).all()
    masks = foreground_masks(np.stack([texture, BRIGHT, BRIGHT]))
    assert masks[0].all()
    assert not masks[1].all()


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_picture_gives_the_same_mask_from_any_thread(policy: str) -> None:
    cv2.setRNGSeed(99)
    once = foreground_mask(COLOURED, policy)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: foreground_mask(COLOURED, policy), range(8)))
    assert all(np.array_equal(once, mask) for mask in again)


def test_an_unknown_policy_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="'magic' is unknown; there are auto, full"):
        foreground_mask(BRIGHT, "magic")
