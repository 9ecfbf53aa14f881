"""Procedural pictures: deterministic, of any size, and unlike one another."""

from __future__ import annotations

import numpy as np
import pytest

from edge_inspect.train.textures import FAMILIES, perlin_noise, render_texture, render_textures


def test_a_picture_depends_on_seed_and_index_alone() -> None:
    first = list(render_textures(6, (64, 64), seed=7))
    again = list(render_textures(3, (64, 64), seed=7))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=False))
    assert np.array_equal(first[4], render_texture(np.random.default_rng([7, 4]), (64, 64)))
    assert not np.array_equal(first[0], next(render_textures(1, (64, 64), seed=8)))


@pytest.mark.parametrize("size", [(37, 91), (129, 50), (16, 16), (64, 64)])
def test_every_family_renders_any_size(size: tuple[int, int]) -> None:
    for family, _ in FAMILIES:
        for seed in range(4):
            image = family(np.random.default_rng(seed), size)
            assert image.shape == (*size, 3), family.__name__
            assert image.dtype == np.uint8, family.__name__
    for image in render_textures(8, size, seed=0):
        assert image.shape == (*size, 3)
        assert image.dtype == np.uint8


def test_pictures_are_rich_and_distinct() -> None:
    images = np.stack(list(render_textures(96, (64, 64), seed=1)))
    deviation = images.reshape(len(images), -1).std(1)
    assert deviation.mean() > 40
    assert (deviation > 15).mean() > 0.95
    assert len({image.tobytes() for image in images}) == len(images)
    small = images[:, ::4, ::4].reshape(len(images), -1).astype(float)
    likeness = np.corrcoef(small) - np.eye(len(images))
    assert np.abs(likeness).mean() < 0.3
    grey = (images == images[..., :1]).all((1, 2, 3)).mean()
    assert 0.15 < grey < 0.6


@pytest.mark.parametrize(("shape", "lattice"), [((64, 64), (4, 4)), ((45, 70), (1, 32)), ((33, 20), (7, 3))])
def test_perlin_noise_stays_in_range(shape: tuple[int, int], lattice: tuple[int, int]) -> None:
    noise = perlin_noise(shape, lattice, np.random.default_rng(3))
    assert noise.shape == shape
    assert noise.dtype == np.float32
    assert np.abs(noise).max() <= 1
    assert np.abs(noise).max() > 0.2
    assert noise[0, 0] == 0


def test_perlin_noise_repeats_with_its_generator() -> None:
    one, two = (perlin_noise((32, 32), (4, 8), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, two)
