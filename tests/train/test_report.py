"""The report: one page that holds everything, says what was measured, and shows the cases that matter."""

from __future__ import annotations

import base64
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from parsed_page import Page

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import write_image
from edge_inspect.train.cases import Gallery, JudgedPicture, Threshold, galleries
from edge_inspect.train.charts import Axis, curve, histogram
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.datasets import TestImage
from edge_inspect.train.evaluation import Evaluation
from edge_inspect.train.report import DEFINITIONS, bin_scores, render, write_report
from edge_inspect.train.thumbnails import THUMBNAIL

GOOD, BAD = 9, 7
HOSTILE = "<b>&\"'$title.png"
FIT = Fit(96, 64, "pad")


def loss(**means: list[float]) -> dict[str, dict[str, object]]:
    """What a checkpoint says of its phases' losses, a mean of every 10 steps."""
    return {name: {"steps": 10 * len(values), "every": 10, "means": values} for name, values in means.items()}


ABOUT = Checkpoint(
    model="rd",
    teacher="resnet18",
    teacher_sha256="a" * 64,
    category="bottle",
    fit=FIT,
    steps=3,
    seed=5,
    trained_on=["b" * 64] * 12,
    held_out=["c" * 64] * 2,
    training={"loss": loss(distillation=[1.0, 0.5, 0.25])},
)


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    """Good parts and two kinds of defects of 200x100 pixels, whose maps score apart but for one of each."""
    random = np.random.default_rng(0)
    images, maps, masks, valid = [], [], [], []
    for i in range(GOOD + BAD):
        kind = "good" if i < GOOD else ("dent" if i < GOOD + 4 else "a<b>&kind")
        name = HOSTILE if i in (0, GOOD + BAD - 1) else f"{i:03}.png"
        path = tmp_path / "data" / "bottle" / "test" / kind / name
        write_image(path, random.integers(60, 200, (100, 200, 3), np.uint8))
        images.append(TestImage(path, kind, None))
        inside = np.ones((100, 200), bool)
        mask = np.zeros((100, 200), np.uint8)
        values = random.uniform(0, 0.1, (100, 200)).astype(np.float32)
        if i >= GOOD:
            mask[30:36, 40:52] = 1
        peak = 0.2 + 0.03 * i if i not in (3, GOOD) else (0.9 if i == 3 else 0.15)
        values[32, 45] = peak
        maps.append(values)
        masks.append(mask)
        valid.append(inside)
    scores = np.array([m[v].max() for m, v in zip(maps, valid, strict=True)], np.float32)
    return Evaluation(images, scores, np.stack(maps), np.stack(masks), np.stack(valid), np.ones(len(images), bool))


@pytest.fixture
def data(evaluation: Evaluation) -> Path:
    return evaluation.images[0].path.parents[2]


def good_of(evaluation: Evaluation) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([image.good for image in evaluation.images])


def test_the_page_holds_all_it_needs(evaluation: Evaluation, data: Path, tmp_path: Path) -> None:
    path = write_report(tmp_path / "new" / "report", evaluation, evaluation.metrics(), ABOUT, data)
    assert path == tmp_path / "new" / "report" / "index.html"
    assert sorted(p.name for p in path.parent.iterdir()) == ["examples.png", "index.html"]
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert page.references and all(source.startswith("data:image/jpeg;base64,") for source in page.references)
    assert not re.search(r"url\(|@import|https?://", html)
    assert not page.tags.keys() & {"script", "link", "iframe", "object", "base"}
    assert page.tags["svg"] == 3
    assert "$" not in html.replace("$title.png", "")


def test_every_picture_decodes_and_is_small(evaluation: Evaluation, data: Path) -> None:
    page = Page(render(evaluation, evaluation.metrics(), ABOUT, data, count=3).page)
    pictures = [
        cv2.imdecode(np.frombuffer(base64.b64decode(source.split(",")[1], validate=True), np.uint8), cv2.IMREAD_COLOR)
        for source in page.references
    ]
    scale, *cases = pictures
    assert scale is not None
    assert {picture.shape for picture in cases} == {(100, 200, 3)}  # the frame's proportions; no padding
    assert all(page.alts)


def test_large_pictures_become_thumbnails_and_a_lone_pixel_keeps_its_outline(tmp_path: Path) -> None:
    path = tmp_path / "dent" / "000.png"
    write_image(path, np.full((1000, 500, 3), 120, np.uint8))
    good = tmp_path / "good" / "000.png"
    write_image(good, np.full((1000, 500, 3), 120, np.uint8))
    fit = Fit(512, 1024)
    masks = np.zeros((2, 1024, 512), np.uint8)
    masks[0, 700, 300] = 1
    maps = masks.astype(np.float32) * 0.5
    valid = np.ones(masks.shape, bool)
    images = [TestImage(path, "dent", None), TestImage(good, "good", None)]
    evaluation = Evaluation(images, np.array([0.5, 0.0], np.float32), maps, masks, valid, np.ones(2, bool))
    page = Page(render(evaluation, evaluation.metrics(), replace(ABOUT, fit=fit), tmp_path).page)
    _, picture, truth, overlay, *_ = (
        cv2.imdecode(np.frombuffer(base64.b64decode(s.split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
        for s in page.references
    )
    assert picture.shape == truth.shape == overlay.shape == (THUMBNAIL, THUMBNAIL // 2, 3)
    y, x = 700 * THUMBNAIL // 1024, 300 * THUMBNAIL // 1024
    yellow = truth[y - 1 : y + 2, x - 1 : x + 2].astype(int)
    assert (yellow[..., 1] - yellow[..., 0]).max() > 60
    assert overlay[y - 1 : y + 2, x - 1 : x + 2].max() > 200


def test_names_are_escaped(evaluation: Evaluation, data: Path) -> None:
    about = replace(ABOUT, category="<i>&", teacher='"<u>', training={"loss": loss(**{"<s>&": [2.0, 1.0]})})
    page = Page(render(evaluation, evaluation.metrics(), about, data, count=GOOD + BAD).page)
    assert not page.tags.keys() & {"i", "u", "s"}
    assert "a<b>&kind" in [row[0] for row in page.rows]
    assert f"good/{HOSTILE}" in page.text and f"a<b>&kind/{HOSTILE}" in page.text
    assert f"good/{HOSTILE}: the image" in page.alts
    assert "<i>&" in page.text and '"<u>' in page.text and "Training loss: <s>&" in page.text


def test_the_cases_are_a_picture_too(evaluation: Evaluation, data: Path, tmp_path: Path) -> None:
    write_report(tmp_path, evaluation, evaluation.metrics(), ABOUT, data)
    picture = cv2.imread(str(tmp_path / "examples.png"))
    assert picture.shape[0] > 300
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def test_a_name_that_is_not_utf8_does_not_stop_it(evaluation: Evaluation, data: Path, tmp_path: Path) -> None:
    old = evaluation.images[1].path
    new = Path(os.fsdecode(os.fsencode(old.parent) + b"/\xff.png"))
    old.rename(new)
    evaluation.images[1] = replace(evaluation.images[1], path=new)
    path = write_report(tmp_path / "report", evaluation, evaluation.metrics(), ABOUT, data, threshold=0.2)
    assert r"\xff.png" in path.read_text(encoding="utf-8")


def test_without_masks_the_page_has_its_image_part(evaluation: Evaluation, data: Path) -> None:
    good = np.array([image.good for image in evaluation.images])
    bare = replace(evaluation, masks=evaluation.masks * 0, known=good, remarks=["pixel metrics need masks"])
    page = Page(render(bare, bare.metrics(), ABOUT, data).page)
    assert "pixel_auroc" not in page.text and "aupro_0.3" not in page.text
    assert "image_auroc" in page.text and "pixel metrics need masks" in page.text
    assert not any("outlined" in alt for alt in page.alts)


def test_a_page_that_cannot_be_written_is_named(evaluation: Evaluation, data: Path, tmp_path: Path) -> None:
    (tmp_path / "report").write_text("a file")
    with pytest.raises(UsageError, match="report.*cannot be written.*give another folder"):
        write_report(tmp_path / "report", evaluation, evaluation.metrics(), ABOUT, data)
    assert (tmp_path / "report").read_text() == "a file"


def test_the_table_has_every_metric_with_its_definition(evaluation: Evaluation, data: Path) -> None:
    metrics = evaluation.metrics()
    assert DEFINITIONS.keys() == metrics.keys()
    rows = {row[0]: row[1:] for row in Page(render(evaluation, metrics, ABOUT, data).page).rows}
    for name, value in metrics.items():
        number, definition = rows[name]
        assert float(number) == pytest.approx(value, abs=5.1e-5)
        assert len(definition) > 30
    assert rows["aupro_0.3"][1].startswith("The data set’s AUPRO")
    assert rows["pro_per_image"][1].startswith("Not AUPRO")


def test_the_page_says_what_was_measured(evaluation: Evaluation, data: Path) -> None:
    text = Page(render(evaluation, evaluation.metrics(), ABOUT, data).page).text
    for said in ("rd with teacher resnet18", "steps 3", "seed 5", f"data {data}", "9 good, 7 defective images"):
        assert said in text
    assert re.search(r"edge-inspect \d", text) and re.search(r"date \d{4}-\d\d-\d\d", text)


def test_without_a_threshold_the_best_f1_stands_in_and_is_called_so(evaluation: Evaluation, data: Path) -> None:
    text = Page(render(evaluation, evaluation.metrics(), ABOUT, data).page).text
    assert "F1-max threshold, chosen on these images, for orientation only" in text
    assert "6 of 7 defects detected 1 of 9 good parts rejected" in text  # the part at the threshold is one of them


def test_a_given_threshold_rejects_what_lies_above(evaluation: Evaluation, data: Path) -> None:
    top = float(evaluation.scores[~good_of(evaluation)].max())
    text = Page(render(evaluation, evaluation.metrics(), ABOUT, data, threshold=top).page).text
    assert "F1-max threshold" not in text
    assert "0 of 7 defects detected 1 of 9 good parts rejected" in text


def test_each_kind_is_measured_against_all_good_parts(evaluation: Evaluation, data: Path) -> None:
    rows = {row[0]: row[1:] for row in Page(render(evaluation, evaluation.metrics(), ABOUT, data).page).rows}
    # One dent scores below all good parts; the other defects lie above all of them but one.
    assert rows["dent"] == ["4", f"{3 / 4 * 8 / 9:.4f}", "3 of 4"]
    assert rows["a<b>&kind"] == ["3", f"{8 / 9:.4f}", "3 of 3"]


@pytest.mark.parametrize("threshold", [None, -3.0, 0.31, 50.0])
def test_every_image_is_in_the_histogram(evaluation: Evaluation, data: Path, threshold: float | None) -> None:
    html = render(evaluation, evaluation.metrics(), ABOUT, data, threshold).page
    counted = Counter[str]()
    for number, name in re.findall(r": (\d+) (good|defective)</title>", html):
        counted[name] += int(number)
    assert counted == {"good": GOOD, "defective": BAD}


@pytest.mark.parametrize("value", [-1.0, 0.25, 0.4, 0.5, 0.75, 4.0])
def test_the_threshold_parts_the_bins(value: float) -> None:
    scores = np.array([0.5, 0.1, 0.75, 0.25, 0.5], np.float32)
    good = np.array([True, True, False, True, False])
    edges, counts = bin_scores(scores, good, value, bins=4)
    assert sum(counts["good"]) == 3 and sum(counts["defective"]) == 2
    right = [i for i, edge in enumerate(edges[:-1]) if edge >= value]
    assert sum(counts["good"][i] + counts["defective"][i] for i in right) == int((scores >= value).sum())


def test_equal_scores_are_one_bin() -> None:
    edges, counts = bin_scores(np.full(4, 0.5, np.float32), np.array([True, False, True, False]), 0.5)
    assert counts == {"good": [2], "defective": [2]}
    assert edges == [0.5, 1.5]


def cases(scores: list[float], kinds: list[str], threshold: Threshold) -> list[JudgedPicture]:
    return [
        JudgedPicture(i, TestImage(Path(f"{i}.png"), kind, None), score, threshold.rejects(score))
        for i, (score, kind) in enumerate(zip(scores, kinds, strict=True))
    ]


def chosen(gallery: Gallery) -> list[int]:
    return [case.index for case in gallery.cases]


def test_galleries_show_the_extremes_and_the_nearest() -> None:
    scores = [0.1, 0.4, 0.9, 0.2, 0.52, 0.3, 0.47]
    kinds = ["good", "good", "dent", "dent", "dent", "good", "good"]
    found = galleries(cases(scores, kinds, Threshold(0.5, True)), 0.5, 2)
    assert [chosen(gallery) for gallery in found] == [[2, 4], [3, 4], [6, 1], [4, 6]]


def test_a_verdict_says_whether_it_is_right() -> None:
    found = cases([0.4, 0.6, 0.4, 0.6], ["good", "good", "dent", "dent"], Threshold(0.5, True))
    assert [case.verdict for case in found] == [
        ("accepted", True),
        ("rejected by mistake", False),
        ("escapes", False),
        ("detected", True),
    ]


def test_at_a_given_threshold_a_part_is_good_and_at_the_best_f1_it_is_not() -> None:
    assert not Threshold(0.5, True).rejects(0.5)
    assert Threshold(0.5, False).rejects(0.5)


@pytest.mark.parametrize(
    ("means", "titles"),
    [
        ({"expert": [1.0, 0.5]}, ["Training loss: expert"]),
        ({"expert": [0.5]}, ["Training loss: expert"]),
        ({"expert": [1.0, 0.01], "student": [3.0]}, ["Training loss: expert", "Training loss: student"]),
        ({}, []),
        (None, []),
    ],
)
def test_each_phase_has_its_loss_curve(
    evaluation: Evaluation, data: Path, means: dict[str, list[float]] | None, titles: list[str]
) -> None:
    about = replace(ABOUT, training={} if means is None else {"loss": loss(**means)})
    page = Page(render(evaluation, evaluation.metrics(), about, data).page)
    assert page.tags["svg"] == 2 + len(titles)
    assert [said.strip() for said in page.said if said.startswith("Training loss")] == titles


def test_a_page_of_the_default_size_is_small(evaluation: Evaluation, data: Path) -> None:
    """Noise is the worst that JPEG can meet."""
    for image in evaluation.images:
        write_image(image.path, np.random.default_rng(1).integers(0, 256, (400, 800, 3), np.uint8))
    assert len(render(evaluation, evaluation.metrics(), ABOUT, data).page) < 3_000_000


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis("", 0, 1), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Axis("", 0, 3, whole=True), [0, 1, 2, 3]),
        (Axis("", 0, 1, whole=True), [0, 1]),
        (Axis("", 1, 24, whole=True), [5, 10, 15, 20]),
        (Axis("", 0.03, 1.2, log=True), [0.05, 0.1, 0.2, 0.5, 1]),
        (Axis("", 1e-6, 1e2, log=True), [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100]),
        (Axis("", 7, 7), [7]),
    ],
)
def test_ticks_are_round_numbers(axis: Axis, ticks: list[float]) -> None:
    assert axis.ticks() == pytest.approx(ticks)
    assert all(0 <= axis.place(tick) <= 1 for tick in axis.ticks())


def test_charts_stay_inside_and_name_their_parts() -> None:
    bars = histogram([0, 1, 2], {"good": [3, 0], "defective": [0, 1]}, "score", (5.0, "threshold 5"))
    assert Page(bars).tags["rect"] == 4  # two bars and two keys
    assert "good (3)" in bars and "defective (1)" in bars and "threshold 5" in bars
    line = curve([(0, 0), (1, 1)], Axis("x", 0, 1), Axis("y", 0, 1), "a line", (0.5, 0.5, "here"), "chance")
    assert Page(line).tags["circle"] == 2
    for chart in (bars, line):
        numbers = [float(number) for number in re.findall(r' (?:x|y|x1|y1|x2|y2|cx|cy)="([-\d.]+)"', chart)]
        assert min(numbers) >= 0 and max(numbers) <= 440
