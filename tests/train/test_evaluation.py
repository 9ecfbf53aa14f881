"""`edge-train evaluate`: a checkpoint against a test split."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from edge_inspect.edge.demo.line import CATEGORY
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.fit_modes import Mode
from edge_inspect.edge.frame.images import Frame, pixel_digest, read_image, read_mask
from edge_inspect.train import checkpoint
from edge_inspect.train.cli import main
from edge_inspect.train.datasets import Category, TestImage
from edge_inspect.train.evaluation import evaluate, torch_predictor

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
    assert found.keys() == {"images", "steps", "seed"} | METRICS
    assert (found["images"], found["steps"], found["seed"]) == (len(images), 6, 0)
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


PIXELS = {"pixel_auroc", "pixel_ap", "aupro_0.3", "pro_per_image"}


def defects(data: Path) -> list[TestImage]:
    return [image for image in Category.open(data, CATEGORY).test_images() if not image.good]


def brightness(fitted: Frame) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return fitted.mean(axis=2).astype(np.float32)


def test_without_masks_the_image_metrics_and_the_report_are_had(
    own_data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(own_data / CATEGORY / "ground_truth")
    target, report = tmp_path / "metrics.json", tmp_path / "report"
    command = ["evaluate", str(run), "--data", str(own_data), "--json", str(target), "--report", str(report)]
    assert main(command) == 0
    assert json.loads(target.read_text()).keys() == {"images", "steps", "seed"} | (METRICS - PIXELS)
    said = capsys.readouterr().err
    assert "4 of 4 defective images have no mask in ground_truth/" in said
    assert "there are only image metrics, because pixel metrics need masks of defects" in said
    assert "pixel metrics need masks" in (report / "index.html").read_text(encoding="utf-8")


def test_what_masks_there_are_give_the_pixel_metrics(own_data: Path) -> None:
    first, second, third, fourth = defects(own_data)
    for image, value in ((first, None), (second, 0), (third, 255)):
        assert image.mask is not None
        shape = cv2.imread(str(image.mask)).shape[:2]
        image.mask.unlink()
        if value is not None:
            cv2.imwrite(str(image.mask), np.full(shape, value, np.uint8))
    images = Category.open(own_data, CATEGORY).test_images()
    found = evaluate(brightness, images, Fit(64, 64))
    assert {image.path for image, known in zip(found.images, found.known, strict=True) if not known} == {
        first.path,
        second.path,
        third.path,
    }
    alone = evaluate(brightness, [i for i in images if i.good or i.path == fourth.path], Fit(64, 64))
    assert {n: v for n, v in found.metrics().items() if n in PIXELS} == {
        n: v for n, v in alone.metrics().items() if n in PIXELS
    }
    said = " ".join(found.remarks)
    assert f"{second.mask}: marks nothing. It holds the value 0" in said
    assert f"{third.mask}: marks 100.0% of the picture" in said
    assert f"1 of 4 defective images have no mask in ground_truth/{first.kind}/, such as {first.path}" in said
    assert "pixel metrics cover the good images and 1 defective ones" in said


def mark(images: list[TestImage], x0: int, y0: int, x1: int, y1: int) -> None:
    """Makes this rectangle the mask of every defect."""
    for image in images:
        if image.mask is not None:
            mask = np.zeros(cv2.imread(str(image.mask)).shape[:2], np.uint8)
            mask[y0:y1, x0:x1] = 255
            image.mask.unlink()
            cv2.imwrite(str(image.mask), mask)


def test_a_defect_that_fills_what_the_network_sees_is_measured_against_the_rest_of_the_frame(own_data: Path) -> None:
    images = Category.open(own_data, CATEGORY).test_images()
    mark(images, 100, 100, 300, 300)
    found = evaluate(brightness, images, Fit(64, 64, region=(120, 120, 100, 100))).metrics()
    assert found.keys() == METRICS


@pytest.mark.parametrize(
    "fit", [Fit(64, 64, region=(320, 320, 100, 100)), Fit(64, 64, "crop"), Fit(64, 32, "pad", region=(200, 0, 99, 480))]
)
def test_defects_outside_of_what_the_network_sees_are_worth_no_more_than_a_guess(own_data: Path, fit: Fit) -> None:
    images = Category.open(own_data, CATEGORY).test_images()
    mark(images, 10, 10, 60, 60)  # left of the region, and of the middle 480 columns of 640
    evaluation = evaluate(brightness, images, fit)
    found = evaluation.metrics()
    assert found.keys() == METRICS
    assert found["aupro_0.3"] < 0.15  # that of a map of one value
    assert found["pixel_auroc"] < 0.5
    assert "4 of 4 masks mark nothing that the network sees (--fit, --region)" in evaluation.remarks[-1]


@pytest.mark.parametrize("mode", ["stretch", "pad", "crop", "tile"])
def test_every_fit_is_measured_on_the_pixels_of_the_frame(data: Path, mode: Mode) -> None:
    images = Category.open(data, CATEGORY).test_images()
    tiles = (2, 2) if mode == "tile" else (1, 1)
    evaluation = evaluate(brightness, images, Fit(96, 64, mode, tiles=tiles, overlap=16))
    assert {values.shape for values in evaluation.maps} == {(384, 512)}  # frames of 640x480
    assert all(counted.all() for counted in evaluation.valid)
    plain = evaluate(brightness, images, Fit(64, 64))
    for mask, same in zip(evaluation.masks, plain.masks, strict=True):
        np.testing.assert_array_equal(mask, same)
    assert evaluation.metrics().keys() >= METRICS


def test_copies_and_pictures_in_two_places_are_said(own_data: Path) -> None:
    root = own_data / CATEGORY / "test"
    good = sorted((root / "good").iterdir())
    pixels = cv2.imread(str(good[0]))
    cv2.imwrite(str(root / "good" / "copy.bmp"), pixels)
    wrong = root / defects(own_data)[0].kind / "wrong.tif"
    cv2.imwrite(str(wrong), cv2.imread(str(good[1])))
    images = Category.open(own_data, CATEGORY).test_images()
    found = evaluate(brightness, images, Fit(64, 64), [pixel_digest(read_image(good[2]))])
    assert len(found.images) == len(images) - 1
    said = " ".join(found.remarks)
    assert "1 of 5 good images are copies, and count once:" in said and "copy.bmp" in said
    assert f"1 images are among both the good ones and the defects: {good[1]} is {wrong}" in said
    assert f"the model has learned from 1 of the test images, so the metrics are too good: {good[2]}" in said


def test_upright_and_sideways_files_give_the_same_metrics(own_data: Path, tmp_path: Path) -> None:
    images = Category.open(own_data, CATEGORY).test_images()
    before = evaluate(brightness, images, Fit(64, 64)).metrics()
    for number, image in enumerate(images):
        for path in filter(None, (image.path, image.mask)):
            with Image.open(path) as upright:
                turned = upright.transpose(Image.Transpose.ROTATE_90 if number % 2 else Image.Transpose.ROTATE_270)
            exif = Image.Exif()
            exif[0x0112] = 6 if number % 2 else 8
            path.unlink()
            turned.save(path, exif=exif)
    assert evaluate(brightness, Category.open(own_data, CATEGORY).test_images(), Fit(64, 64)).metrics() == before


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
    assert max(values.max() for values in evaluation.maps) < 1
    assert evaluation.scores.max() < 1
    assert evaluation.metrics()["pixel_auroc"] > 0


def test_a_map_that_is_the_truth_is_perfect(own_data: Path) -> None:
    images = Category.open(own_data, CATEGORY).test_images()
    mark(images, 100, 200, 140, 260)
    fit = Fit(640, 480)  # pixel by pixel
    truth = iter([np.zeros((480, 640), np.float32) if i.mask is None else read_mask(i.mask).marked for i in images])
    evaluation = evaluate(lambda _: next(truth).astype(np.float32), images, fit)
    found = evaluation.metrics()
    assert {name: found[name] for name in METRICS} == dict.fromkeys(METRICS, 1.0)
    assert [image.good for image in evaluation.images] == [score == 0 for score in evaluation.scores]
