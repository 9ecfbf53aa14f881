"""`edge-train evaluate`: a checkpoint against a test split."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from edge.demo.line import CATEGORY
from edge.fit import Fit
from edge.images import Frame, read_image
from train import checkpoint
from train.cli import main
from train.datasets import Category
from train.evaluation import evaluate, torch_predictor

METRICS = {
    "image_auroc",
    "image_f1_max",
    "image_f1_threshold",
    "pixel_auroc",
    "pixel_ap",
    "aupro_0.3",
    "pro_per_image",
}


@pytest.fixture
def own_data(data: Path, tmp_path: Path) -> Path:
    """The data set by links, so that a test may spoil it."""
    shutil.copytree(data, tmp_path / "data", copy_function=os.symlink)
    return tmp_path / "data"


def complaints(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the program complained of; anything beside it would be a traceback."""
    said = capsys.readouterr().err.splitlines()
    assert not any("Traceback" in line for line in said)
    return [line for line in said if line.startswith("edge-train:")]


def test_metrics_and_report_are_written(data: Path, run: Path, tmp_path: Path) -> None:
    target, report = tmp_path / "metrics.json", tmp_path / "report"
    assert main(["evaluate", str(run), "--data", str(data), "--json", str(target), "--report", str(report)]) == 0
    found = json.loads(target.read_text())
    images = Category.open(data, CATEGORY).test_images()
    assert found.keys() == {"images", "epochs", "seed"} | METRICS
    assert (found["images"], found["epochs"], found["seed"]) == (len(images), 2, 0)
    assert all(0 <= found[name] <= 1 for name in METRICS - {"image_f1_threshold"})
    page = (report / "index.html").read_text(encoding="utf-8")
    assert all(f"{found[name]:.4f}" in page for name in METRICS)


def test_json_goes_to_standard_output_and_all_else_to_standard_error(
    data: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run), "--data", str(data), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out).keys() > METRICS
    assert "image_auroc" in captured.err


def test_a_truncated_picture_is_named_and_nothing_is_written(
    own_data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = Category.open(own_data, CATEGORY).test_images()[-1].path
    content = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(content[: len(content) // 2])
    target, report = tmp_path / "out" / "metrics.json", tmp_path / "report"
    assert main(["evaluate", str(run), "--data", str(own_data), "--json", str(target), "--report", str(report)]) == 2
    assert complaints(capsys) == [f"edge-train: {victim}: is cut off before its end; copy the file again or remove it"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_category_that_does_not_exist_is_named(
    data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(run), "--data", str(data), "--category", "bottle", "--json", str(tmp_path / "m.json")]
    assert main(arguments) == 2
    assert complaints(capsys) == [f"edge-train: {data}: has no category 'bottle'; there are {CATEGORY}"]
    assert not any(tmp_path.iterdir())


def test_a_folder_without_a_checkpoint_is_named(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path), "--data", str(data)]) == 2
    assert [str(tmp_path) in line for line in complaints(capsys)] == [True]


def test_a_defect_without_a_mask_is_named(own_data: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = next(i for i in Category.open(own_data, CATEGORY).test_images() if not i.good)
    assert image.mask is not None
    image.mask.unlink()
    assert main(["evaluate", str(run), "--data", str(own_data)]) == 2
    assert complaints(capsys) == [f"edge-train: {image.path}: has no mask in ground_truth/{image.kind}/"]


def test_the_prediction_depends_on_its_picture_alone(data: Path, run: Path) -> None:
    about, model = checkpoint.load(run)
    predict = torch_predictor(model, torch.device("cpu"), about.fit)
    first, second = (read_image(path) for path in Category.open(data, CATEGORY).train_images()[:2])
    one, two = about.fit.apply(first)[0], about.fit.apply(second)[0]
    before = predict(one)
    predict(two)
    assert before.shape == one.shape[:2]
    assert before.dtype == np.float32
    assert np.array_equal(predict(one), before)


def test_padding_counts_neither_in_scores_nor_in_metrics(data: Path) -> None:
    images = Category.open(data, CATEGORY).test_images()
    fit = Fit(64, 64, "pad")  # of 640x480: 8 rows of padding above and below

    def bright_padding(fitted: Frame) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        values = fitted.mean(axis=2).astype(np.float32) / 1000
        values[:8] = values[56:] = 100
        return values

    evaluation = evaluate(bright_padding, images, fit)
    assert evaluation.valid.sum() == len(images) * 48 * 64
    assert not evaluation.masks[~evaluation.valid].any()
    assert evaluation.scores.max() < 1
    assert evaluation.metrics()["pixel_auroc"] > 0


def test_with_tiles_everything_is_on_the_canvas(data: Path) -> None:
    images = Category.open(data, CATEGORY).test_images()
    fit = Fit(64, 64, "tile", tiles=(3, 2), overlap=16)
    shapes = set()

    def brightness(fitted: Frame) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        shapes.add(fitted.shape)
        return fit.merge(fit.cut(fitted).mean(axis=3).astype(np.float32))

    evaluation = evaluate(brightness, images, fit)
    assert shapes == {(112, 160, 3)}
    assert evaluation.maps.shape == evaluation.masks.shape == evaluation.valid.shape == (len(images), 112, 160)
    assert evaluation.valid.all()
    assert evaluation.metrics().keys() >= METRICS


def test_a_map_that_is_the_truth_is_perfect(data: Path) -> None:
    images = Category.open(data, CATEGORY).test_images()
    fit = Fit(128, 128)
    truth = iter(evaluate(lambda fitted: np.zeros(fitted.shape[:2], np.float32), images, fit).masks)
    evaluation = evaluate(lambda _: next(truth).astype(np.float32), images, fit)
    found = evaluation.metrics()
    assert {name: found[name] for name in METRICS} == dict.fromkeys(METRICS, 1.0)
    assert [image.good for image in evaluation.images] == [score == 0 for score in evaluation.scores]
