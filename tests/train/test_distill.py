"""The recipe of the embedded teacher, in three steps from a random network."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file

from edge_inspect.edge.errors import CheckpointError, ImageError, UsageError
from edge_inspect.models.teacher import EMBEDDED, Teacher
from edge_inspect.train.cli import main
from edge_inspect.train.distill import Distillation, distil
from edge_inspect.train.teachers import open_teacher


class Made(NamedTuple):
    """The file of a teacher, and the loss it ended with."""

    path: Path
    loss: float


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in torchvision's form."""
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("source") / "resnet18.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    return path


@pytest.fixture
def recipe(source: Path, tmp_path: Path) -> Distillation:
    out = tmp_path / "teacher.safetensors"
    return Distillation("resnet18", source, out, rendered=2, steps=3, batch=2, crop=64, device="cpu")


@pytest.fixture(scope="module")
def made(source: Path) -> Made:
    """A teacher after three steps."""
    recipe = Distillation(
        "resnet18", source, source.with_name("made.safetensors"), rendered=2, steps=3, batch=2, crop=64, device="cpu"
    )
    return Made(recipe.out, distil(recipe))


def test_three_steps_make_a_teacher_that_loads(made: Made) -> None:
    tensors = load_file(made.path)
    assert np.isfinite(made.loss)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert made.path.stat().st_size < 3_000_000
    counters = {name for name in Teacher(EMBEDDED).network.state_dict() if name.endswith("num_batches_tracked")}
    assert tensors.keys() == Teacher(EMBEDDED).network.state_dict().keys() - counters
    teacher = open_teacher(EMBEDDED, made.path)
    assert torch.equal(teacher.network.get_parameter("conv1.weight"), tensors["conv1.weight"].float())
    features = teacher(torch.randn(1, 3, 64, 64))
    assert [tuple(f.shape) for f in features] == [(1, 32, 16, 16), (1, 64, 8, 8), (1, 128, 4, 4)]
    assert all(torch.isfinite(f).all() for f in features)


def test_the_file_says_how_it_was_made(made: Made) -> None:
    with safe_open(made.path, "pt") as file:
        about = file.metadata()
    wanted = {"source": "resnet18", "steps": 3, "rendered": 2, "seed": 0, "loss": round(made.loss, 4)}
    assert json.loads(about["recipe"]) == wanted


def test_the_same_recipe_makes_the_same_teacher(recipe: Distillation, made: Made) -> None:
    assert distil(recipe) == made.loss
    one, two = load_file(recipe.out), load_file(made.path)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("change", [{"seed": 1}, {"steps": 4}])
def test_every_layer_depends_on_seed_and_steps(recipe: Distillation, made: Made, change: dict[str, int]) -> None:
    distil(dataclasses.replace(recipe, **change))
    one, two = load_file(recipe.out), load_file(made.path)
    assert all(not torch.equal(one[name], two[name]) for name in one)


def test_further_pictures_are_learned_from(recipe: Distillation, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    cv2.imwrite(str(folder / "a.png"), rng.integers(0, 255, (64, 90, 3), np.uint8))
    cv2.imwrite(str(folder / "grey.png"), rng.integers(0, 255, (70, 64), np.uint8))
    assert np.isfinite(distil(dataclasses.replace(recipe, images=folder, rendered=0)))


def test_a_folder_of_pictures_that_is_none_is_refused(recipe: Distillation, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--images .*nowhere: no such folder"):
        distil(dataclasses.replace(recipe, images=tmp_path / "nowhere"))
    assert not recipe.out.exists()


def test_pictures_smaller_than_a_crop_are_refused(recipe: Distillation, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((20, 300, 3), np.uint8))
    with pytest.raises(UsageError, match=r"at least 64 pixels wide and high"):
        distil(dataclasses.replace(recipe, images=tmp_path))


def test_no_pictures_at_all_are_refused(recipe: Distillation) -> None:
    with pytest.raises(UsageError, match=r"pictures must be at least"):
        distil(dataclasses.replace(recipe, rendered=0))


def test_a_broken_picture_is_named(recipe: Distillation, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("hello")
    with pytest.raises(ImageError, match=r"broken\.png: is not a picture"):
        distil(dataclasses.replace(recipe, images=tmp_path))


def test_missing_source_weights_are_named(recipe: Distillation, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.pth: no such weight file"):
        distil(dataclasses.replace(recipe, source_weights=tmp_path / "gone.pth"))


def test_the_command_reports_a_bad_folder_in_one_line(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "t.safetensors"
    arguments = ["teacher", "--source-weights", str(source), "--images", str(tmp_path / "nowhere"), "--out", str(out)]
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"edge-train: --images {tmp_path / 'nowhere'}: no such folder\n"
    assert not out.exists()
