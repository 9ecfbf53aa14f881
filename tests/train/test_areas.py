"""Areas in training: what is ignored is neither learned from nor judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from edge_inspect.edge.demo.line import CATEGORY, HEIGHT, WIDTH
from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.areas import Area, Areas
from edge_inspect.edge.frame.fit import BLANK, Fit
from edge_inspect.train.augmentation import Augmentation
from edge_inspect.train.crossfit import CrossFit
from edge_inspect.train.device import open_arithmetic
from edge_inspect.train.flaws import Flaws
from edge_inspect.train.foreground import masks_inside
from edge_inspect.train.material import Material
from edge_inspect.train.plane import map_in_plane
from edge_inspect.train.synthesis import Synthesis
from edge_inspect.train.validation import TrialPictures

LEFT = ((0, 0), (31, 0), (31, 63), (0, 63))
FIT = Fit(64, 64, areas=Areas(size=(64, 64), ignore=(Area(name="left", rings=(LEFT,)),)))


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)


def test_the_options_reach_the_fit(asked: Callable[..., Fit | None], tmp_path: Path) -> None:
    file = tmp_path / "regions.yaml"
    square = [[10, 10], [300, 10], [300, 300]]
    areas = {"look": [{"name": "a", "polygon": square}], "ignore": [{"name": "b", "polygon": square[:2] + [[20, 90]]}]}
    file.write_text(yaml.safe_dump({"size": [WIDTH, HEIGHT], **areas}))
    fit = asked("--look", str(file), "--ignore", str(file), "--size", "64")
    assert fit is not None and fit.areas is not None
    assert [area.name for area in (*fit.areas.look, *fit.areas.ignore)] == ["a", "b"]
    assert asked("--look", str(tmp_path / "none.yaml")) is None


def test_defects_to_learn_from_lie_where_it_is_looked_at() -> None:
    given = pictures(4)
    counts = np.repeat(~FIT.blind[None], 4, axis=0)
    for drawing in (Synthesis(given, seed=1, counts=counts), Flaws(given, seed=1, valid=counts)):
        for i in range(4):
            mask = drawing.draw(i, 0).mask
            assert mask.any() and not mask[:, :32].any()


def test_a_part_found_only_where_nothing_counts_is_all_that_counts() -> None:
    masks, counts = np.zeros((3, 4, 4), np.uint8), np.zeros((3, 4, 4), bool)
    masks[:2, :2] = 1
    masks[2, 3] = 1
    counts[0, 1:3], counts[1, 3] = True, True
    inside = masks_inside(masks, counts)
    assert inside[0].tolist() == [[0] * 4, [1] * 4, [0] * 4, [0] * 4]
    assert inside[1].tolist() == [[0] * 4, [0] * 4, [0] * 4, [1] * 4]
    assert np.array_equal(inside[2], masks[2]), "a tile beside all areas keeps its mask"


def test_variants_are_blank_at_the_same_place() -> None:
    given = pictures(3)
    for picture in given:
        FIT.blank(picture)
    counts = np.repeat(~FIT.blind[None], 3, axis=0)
    material = Material(
        given,
        Synthesis(given, seed=0, counts=counts),
        open_arithmetic("cpu", "float32"),
        batch=3,
        seed=0,
        cache_gb=0,
        augmentation=Augmentation.read("light=20,shift=8,flip=horizontal"),
        fit=FIT,
    )
    blank = material.images(torch.arange(3))[0, :, 5, 5]
    drawn = next(material.defects(range(1), batch=material.count))
    for images in (material.images(torch.arange(material.count)), drawn.images):
        assert torch.allclose(images[:, :, :, :32], blank[:, None, None].expand(3, 64, 32))
    assert (given[:, :, :32] == BLANK).all()


def test_scores_of_good_pictures_are_of_what_is_looked_at() -> None:
    maps = torch.zeros(1, 1, 64, 64)
    maps[0, 0, 32, 8], maps[0, 0, 32, 50] = 100, 1
    whole = CrossFit(Fit(64, 64), [(0, 0, 64, 64)], [0], [True]).scores(maps)[0]
    (seen,) = CrossFit(FIT, [(0, 0, 64, 64)], [0], [True]).scores(maps)
    assert whole > 10 * seen > 0


def test_scores_of_areas_are_of_the_unscaled_map() -> None:
    right = ((32, 0), (63, 0), (63, 63), (32, 63))
    look = (Area(name="left", rings=(LEFT,), scale=3.0), Area(name="right", rings=(right,)))
    fit = Fit(64, 64, areas=Areas(size=(64, 64), look=look))
    maps = torch.zeros(3, 1, 64, 64)
    maps[0, 0, 32, 8], maps[0, 0, 32, 50], maps[2, 0, 10, 40] = 2, 3, 1
    crossfit = CrossFit(fit, [(0, 0, 64, 64)] * 3, [0, 1, 2], [True, False, True])
    found = crossfit.area_scores(maps)
    assert list(found) == ["left", "right"] and [len(scores) for scores in found.values()] == [2, 2]
    assert found["left"][0] * 3 == pytest.approx(found["right"][0] * 2, rel=1e-3)
    together = [max(3 * left, right) for left, right in zip(found["left"], found["right"], strict=True)]
    entries = crossfit.entries(crossfit.scores(maps), maps)
    assert entries == {"scores": pytest.approx(together), "area_scores": found}
    assert CrossFit(FIT, [(0, 0, 64, 64)], [0], [True]).area_scores(maps[:1]) == {}


def test_a_pixel_that_is_not_looked_at_has_no_value_in_the_plane() -> None:
    _, placement = FIT.apply(np.zeros((64, 64, 3), np.uint8))
    plane = map_in_plane(np.ones((64, 64), np.float32), placement, (64, 64))
    assert np.isnan(plane[:, :32]).all() and (plane[:, 32:] == 1).all()


def test_tiles_beside_all_areas_are_not_judged_by(tmp_path: Path, data: Path) -> None:
    corner = ((0, 0), (100, 0), (100, 100), (0, 100))
    areas = Areas(size=(WIDTH, HEIGHT), look=(Area(name="corner", rings=(corner,)),))
    fit = Fit(64, 64, "tile", tiles=(3, 3), overlap=16, areas=areas)
    paths = sorted((data / CATEGORY / "train" / "good").iterdir())[:2]
    trial = TrialPictures.load(paths, fit, "auto")
    assert len(trial.pictures) == 2 and trial.valid.any(axis=(1, 2)).all()


def test_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="64x64"):
        FIT.apply(np.zeros((48, 64, 3), np.uint8))
