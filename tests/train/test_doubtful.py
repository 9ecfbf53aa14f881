"""The page of good pictures that look least like the others: a defect among them comes first, and all is said."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from parsed_page import Page
from small_teacher import SMALL

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.areas import Area, Areas
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import pixel_digest, read_image
from edge_inspect.train import checkpoint
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.cli import main
from edge_inspect.train.crossfit import CrossFit
from edge_inspect.train.doubtful import FEWEST_SHOWN, PAGE, Judged, show_doubtful

ABOUT = Checkpoint("memory", SMALL, "a" * 64, "<i>flange&", Fit(64, 64), 0, 0, ["b" * 64] * 30, [])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Thirty pictures of one texture; part-17 has a dark bar."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(60, 200, (64, 64, 3)).astype(np.float32), (0, 0), 3)
    for i in range(30):
        picture = texture + rng.normal(0, 4, texture.shape)
        if i == 17:
            picture[28:36, 8:56] = 5
        cv2.imwrite(str(folder / f"part-{i:02}.png"), np.clip(picture, 0, 255).astype(np.uint8))
    return sorted(folder.iterdir())


def raised(scores: list[float], size: int = 64) -> torch.Tensor:
    """Maps of zeros in whose middle is a plateau of each score, wide enough to outlast the blur."""
    maps = torch.zeros(len(scores), 1, size, size)
    for values, score in zip(maps, scores, strict=True):
        values[0, 4:-4, 4:-4] = score
    return maps


def crossfit(count: int, fit: Fit | None = None, distinct: NDArray[np.bool_] | None = None) -> CrossFit:
    fit = fit or Fit(64, 64)
    counts = [True] * count if distinct is None else distinct.tolist()
    return CrossFit(fit, [(0, 0, *fit.canvas)] * count, [i * 10 // count for i in range(count)], counts)


@pytest.mark.parametrize(("seed", "held_out"), [("0", False), ("4", True)])
def test_a_defect_among_the_good_pictures_comes_first(
    pictures: list[Path],
    small_weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    seed: str,
    held_out: bool,
) -> None:
    good = tmp_path / "data" / "good"
    good.mkdir(parents=True)
    for path in pictures:
        shutil.copy(path, good)
    run = tmp_path / "run"
    asked = ["--data", str(good.parent), "--model", "memory", "--hold-out", "0.3", "--seed", seed, "--out", str(run)]
    main(["fit", *asked, "--teacher", SMALL, "--teacher-weights", str(small_weights), "--memory", "64", "--size", "64"])
    said = capsys.readouterr().err
    look_at = re.escape(str(run / PAGE))
    assert re.search(rf"least like the others are part-17\.png, .+ and .+; .+ Look at {look_at}", said)
    digest = pixel_digest(read_image(good / "part-17.png"))
    assert (digest in checkpoint.load(run)[0].held_out) is held_out
    page = Page((run / PAGE).read_text(encoding="utf-8"))
    assert "1. part-17.png score" in page.text
    assert page.tags["img"] == 2 * FEWEST_SHOWN + 1  # the picture, its map, and once the scale


def test_the_page_holds_all_it_needs(pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = [float(i % 7) for i in range(30)]
    odd = tmp_path / "<b>&.png"
    shutil.copy(pictures[0], odd)
    show_doubtful(tmp_path, ABOUT, [Judged.of(crossfit(30), raised(scores), [*pictures[:6], odd, *pictures[7:]])])
    html = (tmp_path / PAGE).read_text(encoding="utf-8")
    page = Page(html)
    assert all(each.startswith("data:image/jpeg;base64,") for each in page.references)
    assert not re.search(r"url\(|@import|https?://", html) and "$" not in html
    assert not page.tags.keys() & {"script", "link", "iframe", "object", "base", "i"}
    assert "<i>flange&: memory" in page.text and "24 of 30" in page.text and "1. <b>&.png score 6" in page.text
    assert "--region , --look or --ignore , so" in page.text
    names = re.findall(r"\d+\. (\S+) score (\d)", page.text)
    assert [int(score) for _, score in names] == sorted((int(score) for _, score in names), reverse=True)
    assert "<b>&.png, part-13.png and part-20.png" in capsys.readouterr().err


def test_near_duplicates_count_and_what_is_ignored_does_not(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    distinct = np.ones(30, bool)
    distinct[3] = False
    left = Area(name="left", rings=(((0, 0), (31, 0), (31, 63), (0, 63)),))
    looks_left = Fit(64, 64, areas=Areas(size=(64, 64), look=(left,)))
    maps = raised([0.0] * 30)
    maps[3, :, 8:56, 8:24] = 1  # of a near duplicate
    maps[5, :, :, 40:] = 8  # where nobody looks
    maps[11, :, 8:56, 8:24] = 2
    show_doubtful(tmp_path, ABOUT, [Judged.of(crossfit(30, looks_left, distinct), maps, pictures)])
    page = Page((tmp_path / PAGE).read_text(encoding="utf-8"))
    assert "1. part-11.png score" in page.text and "2. part-03.png score" in page.text
    assert "least like the others are part-11.png, part-03.png and" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "shown"), [(0, 0), (9, 0), (10, 10), (30, 24), (300, 30), (1200, 96)])
def test_a_tenth_is_shown_and_of_few_pictures_no_page(
    pictures: list[Path], tmp_path: Path, count: int, shown: int
) -> None:
    judged = (
        [Judged.of(crossfit(count), raised([1.0] * count), [pictures[i % 30] for i in range(count)])] if count else []
    )
    show_doubtful(tmp_path, ABOUT, judged)
    assert (tmp_path / PAGE).exists() == (shown > 0)
    if shown:
        assert f"{shown} of {count}" in Page((tmp_path / PAGE).read_text(encoding="utf-8")).text


def test_a_page_that_cannot_be_written_names_the_remedy(pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / PAGE).mkdir()
    with pytest.raises(UsageError, match="--out .*: cannot be written: .*; make room there"):
        show_doubtful(tmp_path, ABOUT, [Judged.of(crossfit(10), raised([1.0] * 10), pictures[:10])])
