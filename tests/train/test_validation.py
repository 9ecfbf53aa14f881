"""Synthetic defects on held-out good pictures: found, repeatable, and only on pictures the training has not seen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from edge.demo.line import CATEGORY
from edge.errors import DataSetError
from edge.fit import Fit
from train import checkpoint
from train.cli import main
from train.datasets import Category
from train.validation import held_out_pictures, validate


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
    with pytest.raises(DataSetError, match="holds none of the 4 good images that the training kept aside"):
        held_out_pictures(about, Category.open(folder.parent))


@pytest.mark.parametrize("fit", [Fit(64, 64), Fit(64, 96, "pad"), Fit(64, 64, "tile", tiles=(2, 1), overlap=8)])
def test_a_model_that_sees_every_change_finds_every_defect(run: Path, data: Path, fit: Fit) -> None:
    about, model = checkpoint.load(run)
    pictures = held_out_pictures(about, Category.open(data, CATEGORY))

    def difference(images: torch.Tensor) -> torch.Tensor:
        return (images - images[:1]).abs().amax(1, keepdim=True)  # the first of a batch is the good one

    model.anomaly_map = difference
    found = validate(model, pictures, fit, torch.device("cpu"), draws=2)
    assert found["image_auroc"] == 1.0
    assert found["pixel_auroc"] > 0.95
    assert validate(model, pictures, fit, torch.device("cpu"), draws=2) == found


def test_the_command_says_it_as_json(run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "result.json"
    assert main(["evaluate", str(run), "--data", str(data), "--synthetic", "--json", str(target)]) == 0
    told = json.loads(target.read_text())
    assert told["images"] == 4
    assert np.isfinite(list(told.values())).all()
    assert main(["evaluate", str(run), "--data", str(data), "--synthetic", "--report", str(tmp_path / "r")]) == 2
    assert "--report needs a test split" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--data", str(data), "--threshold", "0.5"]) == 2
    assert "--threshold is for the report; give --report DIR too" in capsys.readouterr().err
