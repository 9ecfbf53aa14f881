"""Synthetic defects on held-out good pictures: found, repeatable, and only on pictures the training has not seen."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_inspect.edge.demo.line import CATEGORY
from edge_inspect.edge.errors import DataSetError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.train import checkpoint
from edge_inspect.train.cli import main
from edge_inspect.train.datasets import Category, load_fitted
from edge_inspect.train.foreground import foreground_masks
from edge_inspect.train.held_out import held_out_pictures
from edge_inspect.train.report import render
from edge_inspect.train.validation import TrialPictures, evaluate_flaws, shown_at


def test_the_pictures_are_those_held_out(run: Path, data: Path) -> None:
    about, _ = checkpoint.load(run)
    assert len(held_out_pictures(about, Category.open(data, CATEGORY))) == len(about.held_out) == 4


def test_other_pictures_are_refused(run: Path, data: Path, tmp_path: Path) -> None:
    about, _ = checkpoint.load(run)
    folder = tmp_path / "other" / "good"
    folder.mkdir(parents=True)
    for path in Category.open(data, CATEGORY).test_images():
        if path.good:
            shutil.copy(path.path, folder)
    with pytest.raises(DataSetError, match="holds none of the 4 good images that the training held out"):
        held_out_pictures(about, Category.open(folder.parent))


@pytest.mark.parametrize("fit", [Fit(64, 64), Fit(64, 96, "pad"), Fit(64, 64, "tile", tiles=(2, 1), overlap=8)])
def test_a_model_that_sees_every_change_finds_every_defect(run: Path, data: Path, fit: Fit) -> None:
    about, model = checkpoint.load(run)
    pictures = held_out_pictures(about, Category.open(data, CATEGORY))

    def difference(images: torch.Tensor) -> torch.Tensor:
        return (images - images[:1]).abs().amax(1, keepdim=True)  # the first of a batch is the good one

    model.anomaly_map = difference
    found = evaluate_flaws(model, pictures, fit, torch.device("cpu"), draws=2).metrics()
    assert found["image_auroc"] == 1.0
    assert found["pixel_auroc"] > 0.95
    assert evaluate_flaws(model, pictures, fit, torch.device("cpu"), draws=2).metrics() == found


def test_the_command_says_it_as_json(run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "result.json"
    assert main(["evaluate", str(run), "--data", str(data), "--synthetic", "--json", str(target)]) == 0
    told = json.loads(target.read_text())
    assert told["images"] == 4
    assert np.isfinite(list(told.values())).all()
    assert told["synthetic"] is True
    assert main(["evaluate", str(run), "--data", str(data), "--threshold", "0.5"]) == 2
    assert "--threshold belongs to the report; give --report DIR too" in capsys.readouterr().err


@pytest.mark.parametrize("fit", [Fit(64, 64), Fit(64, 96, "pad"), Fit(64, 64, "tile", tiles=(2, 1), overlap=8)])
def test_the_report_shows_the_flaws_as_the_network_sees_them(run: Path, data: Path, tmp_path: Path, fit: Fit) -> None:
    about, model = checkpoint.load(run)
    pictures = held_out_pictures(about, Category.open(data, CATEGORY))[:2]
    evaluation = evaluate_flaws(model, pictures, fit, torch.device("cpu"), draws=2)
    tiles = 2 * fit.grid.count
    assert evaluation.drawn is not None and len(evaluation.drawn) == len(evaluation.images) == 3 * tiles
    changed = (evaluation.drawn[1] != evaluation.drawn[0]).any(axis=2)
    assert changed.any() and not (changed & (evaluation.masks[1] == 0)).any()
    report = render(evaluation, evaluation.metrics(), about, data)
    assert f"{tiles} good images held out, {2 * tiles} synthetic flaws on them" in report.page
    assert "do not say how many real defects will be found" in report.page


def plain(data: Path, folder: Path, count: int = 20) -> Path:
    """A plain folder of the training's own good pictures, without any defect."""
    good = folder / CATEGORY / "good"
    good.mkdir(parents=True)
    for path in Category.open(data, CATEGORY).train_images()[:count]:
        shutil.copy(path, good)
    return folder


def mvtec(data: Path, folder: Path, test: tuple[str, ...] = ()) -> Path:
    """The layout of MVTec AD with those folders of the test split alone."""
    root = Category.open(data, CATEGORY).root
    shutil.copytree(root / "train", folder / CATEGORY / "train")
    for kind in test:
        shutil.copytree(root / "test" / kind, folder / CATEGORY / "test" / kind)
    return folder


@pytest.mark.parametrize("synthetic", [[], ["--synthetic"]])
@pytest.mark.parametrize("test", [None, (), ("good",)])
def test_without_defects_flaws_stand_in_and_that_is_said(
    run: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    test: tuple[str, ...] | None,
    synthetic: list[str],
) -> None:
    own = plain(data, tmp_path / "own") if test is None else mvtec(data, tmp_path / "own", test)
    report, target = tmp_path / "report", tmp_path / "metrics.json"
    options = ["--data", str(own), "--report", str(report), "--json", str(target), *synthetic]
    assert main(["evaluate", str(run), *options]) == 0
    said = capsys.readouterr().err
    assert "do not say how many real defects will be found" in said
    assert ("Measured instead, as with --synthetic" in said) == (not synthetic)
    told = json.loads(target.read_text())
    assert told["synthetic"] is True and 0 <= told["image_auroc"] <= 1
    assert (report / "index.html").is_file() and (report / "examples.png").is_file()


def test_a_training_that_held_nothing_out_says_what_to_do(run: Path, data: Path) -> None:
    about, _ = checkpoint.load(run)
    none = dataclasses.replace(about, held_out=[])
    with pytest.raises(DataSetError, match="held out none to draw flaws on; train again with more images"):
        held_out_pictures(none, Category.open(data, CATEGORY))


@pytest.mark.parametrize("foreground", ["full", "disc", "otsu"])
def test_flaws_lie_where_the_training_was_told_that_the_part_is(run: Path, data: Path, foreground: str) -> None:
    about, model = checkpoint.load(run)
    fit = about.fit
    pictures = held_out_pictures(about, Category.open(data, CATEGORY))
    found = evaluate_flaws(model, pictures, fit, torch.device("cpu"), 6, foreground)
    parts = np.repeat(foreground_masks(load_fitted(pictures, fit), foreground), 7, axis=0)
    assert found.masks.any() and not found.masks[parts == 0].any()
    trial = TrialPictures.load(pictures, fit, foreground)
    maps, masks, valid = trial.judge(lambda images: images[:, :1], seed=3)
    assert len(maps) == len(masks) == len(valid) == len(parts)
    assert masks.any() and not masks[parts == 0].any()


def test_the_command_honours_the_foreground_of_the_training(run: Path, data: Path, tmp_path: Path) -> None:
    found = []
    for foreground in ("full", "disc"):
        copy = tmp_path / foreground
        shutil.copytree(run, copy)
        text = (copy / checkpoint.DESCRIPTION).read_text()
        (copy / checkpoint.DESCRIPTION).write_text(text.replace("foreground: auto", f"foreground: {foreground}"))
        target = tmp_path / f"{foreground}.json"
        assert main(["evaluate", str(copy), "--data", str(data), "--synthetic", "--json", str(target)]) == 0
        found.append(json.loads(target.read_text()))
    assert found[0] != found[1]


@pytest.mark.parametrize(("columns", "seen"), [(64, 16), (40, 10), (41, 10), (3, 0)])
def test_a_coarse_map_sees_no_padding(columns: int, seen: int) -> None:
    valid = np.zeros((2, 64, 64), bool)
    valid[:, :, :columns] = True
    shown = shown_at(valid, (16, 16))
    assert shown.shape == (2, 16, 16) and int(shown.sum()) == 2 * 16 * seen
