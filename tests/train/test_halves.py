"""Cross-fitting of a student: who scores which picture, what an interruption changes, and when it is left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_teacher import SMALL
from torch import Tensor, nn

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.network import Network
from edge_inspect.train import checkpoint, loop
from edge_inspect.train.augmentation import Augmentation
from edge_inspect.train.cli import main
from edge_inspect.train.crossfit import CrossFit
from edge_inspect.train.device import open_arithmetic
from edge_inspect.train.doubtful import PAGE as DOUBTFUL
from edge_inspect.train.halves import FOLDER, cross_fit_student
from edge_inspect.train.journal import PAGE
from edge_inspect.train.material import Material
from edge_inspect.train.settings import TrainingSettings
from edge_inspect.train.synthesis import Synthesis
from edge_inspect.train.textures import render_textures
from edge_inspect.train.training import fit

Change = Callable[..., TrainingSettings]


class Knowing(Network):
    """A student whose map is, everywhere, the brightness of the pictures that it has learned from."""

    def __init__(self, knows: float) -> None:
        super().__init__()
        self.teacher = nn.Identity()
        self.knows = knows

    def map_of(self, image: Tensor, features: list[Tensor]) -> Tensor:
        return torch.full((len(image), 1, 8, 8), self.knows)


@pytest.mark.parametrize("tiles", [(1, 1), (2, 1)])
def test_every_picture_is_scored_by_a_student_of_the_other_half(tiles: tuple[int, int]) -> None:
    fitted = Fit(32, 32, "tile", tiles=tiles, overlap=8) if tiles != (1, 1) else Fit(32, 32)
    count = fitted.grid.count
    bright = np.repeat(np.array([10, 20, 30, 110, 120, 130], np.uint8), count)
    pictures = np.broadcast_to(bright[:, None, None, None], (6 * count, 32, 32, 3)).copy()
    width, height = fitted.canvas
    distinct = (True, True, False, True, True, True)
    halves = CrossFit(fitted, [(0, 0, width, height)] * 6, [0, 0, 0, 1, 1, 1], distinct)
    material = Material(
        pictures, None, open_arithmetic("cpu", "float32"), 4, 0, 1.0, augmentation=Augmentation(), fit=fitted
    )
    asked: list[tuple[int, list[int]]] = []

    def train(half_of: Material, half: int) -> Network:
        asked.append((half, half_of.pictures[:, 0, 0, 0].tolist()))
        return Knowing(float(half_of.pictures.mean()))

    maps = cross_fit_student(Knowing(0), material, halves, train)
    assert asked == [(0, np.repeat([110, 120, 130], count).tolist()), (1, np.repeat([10, 20, 30], count).tolist())]
    assert halves.entries(halves.scores(maps), maps) == {"scores": pytest.approx([120, 120, 20, 20, 20])}


def test_a_part_of_a_synthesis_draws_on_its_pictures() -> None:
    pictures = np.stack([np.full((64, 64, 3), level, np.uint8) for level in (40, 90, 140, 190)])
    whole = Synthesis(pictures, seed=0, foreground="full")
    few = whole.only(np.array([1, 3]))
    drawn = few.draw(1, 5)
    assert (drawn.picture[drawn.mask == 0] == 190).all() and drawn.mask.any()
    assert len(few.foregrounds) == 2 and (whole.draw(1, 5).picture[0, 0] == 90).all()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty good parts of one texture, of which the last two are the same."""
    folder = tmp_path_factory.mktemp("parts")
    good = folder / "train" / "good"
    good.mkdir(parents=True)
    rng = np.random.default_rng(0)
    base = next(render_textures(1, (64, 64), seed=11)).astype(int)
    for number in range(30):
        if number < 29:
            noise = cv2.GaussianBlur(rng.normal(0, 60, base.shape), (0, 0), 2)
        part = np.clip(base + noise + rng.normal(0, 1, base.shape), 0, 255)
        cv2.imwrite(str(good / f"{number:02}.png"), part.astype(np.uint8))
    return folder


@pytest.fixture
def settings(parts: Path, small_weights: Path, tmp_path: Path) -> Change:
    usual = TrainingSettings(
        data=parts,
        category=".",
        out=tmp_path / "run",
        teacher=SMALL,
        teacher_weights=small_weights,
        memory=0,
        fit=Fit(64, 64),
        steps=6,
        batch=4,
        device="cpu",
        precision="float32",
    )
    return lambda **changes: dataclasses.replace(usual, **changes)


@pytest.mark.parametrize(("model", "memory"), [("rd", 0), ("rd", 16), ("aand", 0), ("dmdd", 0)])
def test_the_checkpoint_has_a_score_of_every_distinct_picture(settings: Change, model: str, memory: int) -> None:
    asked = settings(model=model, memory=memory)
    about = fit(asked)
    assert len(about.trained_on) - len(about.scores) in (0, 1) and len(about.scores) >= 22
    assert all(np.isfinite(score) and score > 0 for score in about.scores)
    assert len(set(about.scores)) > 15
    assert checkpoint.load(asked.out)[0].scores == about.scores
    files = [checkpoint.TENSORS, checkpoint.DESCRIPTION, DOUBTFUL, PAGE]
    assert sorted(path.name for path in asked.out.iterdir()) == files


def test_without_it_the_model_is_the_same_and_there_are_no_scores(settings: Change, tmp_path: Path) -> None:
    with_scores = fit(settings())
    without = fit(settings(out=tmp_path / "without", cross_fit=False))
    assert with_scores.scores and not without.scores
    assert (with_scores.training["cross_fit"], without.training["cross_fit"]) == (True, False)
    tensors = [(tmp_path / name / checkpoint.TENSORS).read_bytes() for name in ("run", "without")]
    assert tensors[0] == tensors[1]


@pytest.mark.parametrize("step", [7, 8, 10, 12])
def test_an_interruption_between_and_within_the_halves_changes_nothing(
    settings: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The student takes six steps, and each of the others three."""
    whole = fit(settings(out=tmp_path / "whole"))
    asked, done, count = settings(), 0, loop.Progress.step

    def counted(self: loop.Progress, steps: int = 1, note: str = "") -> None:
        nonlocal done
        done += note.startswith("loss")
        if done == step:
            raise KeyboardInterrupt
        count(self, steps, note)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Progress, "step", counted)
        with pytest.raises(KeyboardInterrupt):
            fit(dataclasses.replace(asked, save_seconds=0.0))
    assert (asked.out / FOLDER / ("1" if step < 10 else "2")).is_dir()
    assert fit(asked).scores == whole.scores
    assert not (asked.out / FOLDER).exists()


def test_few_pictures_and_many_held_out_ones_are_not_cross_fitted(
    settings: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not fit(settings(hold_out=0.5)).scores
    monkeypatch.setattr("edge_inspect.train.training.ENOUGH_HELD", 6)
    assert not fit(settings(out=settings().out / "other")).scores


def test_the_command_leaves_it_out_when_asked_to(parts: Path, small_weights: Path, tmp_path: Path) -> None:
    command = ["fit", "--data", str(parts), "--model", "rd", "--memory", "off", "--steps", "2", "--batch", "4"]
    command += ["--size", "64", "--teacher", SMALL, "--teacher-weights", str(small_weights), "--device", "cpu"]
    for given, has in ((["--cross-fit", "off"], False), ([], True)):
        out = tmp_path / str(has)
        assert main([*command, "--out", str(out), *given]) == 0
        assert bool(checkpoint.load(out)[0].scores) is has
