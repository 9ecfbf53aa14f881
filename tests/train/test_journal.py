"""The page that a training writes as it goes: whole in itself, true, cheap, and never in the training's way."""

from __future__ import annotations

import errno
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from parsed_page import Page

from edge_inspect.edge.errors import ImageError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.network import Network
from edge_inspect.train import journal as journal_module
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.examples import Examples
from edge_inspect.train.journal import PAGE, REFRESH, SHARE, History, Journal, duration
from edge_inspect.train.phase import Phase

MODEL = cast(Network, None)
ABOUT = Checkpoint(
    model="dmdd",
    teacher="resnet18",
    teacher_sha256="a" * 64,
    category="<i>flange&",
    fit=Fit(96, 64),
    steps=10,
    seed=5,
    trained_on=["b" * 64] * 12,
    held_out=["c" * 64] * 2,
    training={"batch": 16, "learning_rate": 0.005, "device": "cpu", "precision": "float32"},
)


class Drawn(Examples):
    """Examples that count how often they are drawn, and take as long as they are told."""

    def __init__(self) -> None:
        super().__init__([], Fit())
        self.times, self.takes, self.clock = 0, 0.0, 0.0

    def draw(self, model: Network) -> str:
        self.times += 1
        self.clock += self.takes
        return "<p>THE MAPS</p>"


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    drawn = Drawn()
    monkeypatch.setattr(journal_module.time, "perf_counter", lambda: drawn.clock)
    return drawn


def phase(name: str, steps: int) -> Phase:
    return cast(Phase, SimpleNamespace(name=name, steps=steps, every=1))


@pytest.fixture
def journal(tmp_path: Path, examples: Drawn) -> Journal:
    return Journal(tmp_path / "run", ABOUT, [phase("decoupling", 10), phase("segmentation", 6)], examples)


def page_in(tmp_path: Path) -> Page:
    return Page((tmp_path / "run" / PAGE).read_text(encoding="utf-8"))


def test_the_page_holds_all_it_needs(journal: Journal, tmp_path: Path) -> None:
    history = History({"decoupling": [1.0, 0.5]}, 30.0)
    journal.begin(history)
    html = (tmp_path / "run" / PAGE).read_text(encoding="utf-8")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [PAGE]
    page = Page(html)
    assert not page.references
    assert not re.search(r"url\(|@import|https?://", html)
    assert not page.tags.keys() & {"script", "link", "iframe", "object", "base", "i"}
    assert "$" not in html
    for said in (
        "<i>flange&: dmdd",
        "seed 5",
        "12 good images, 2 held out",
        "learning rate 0.005",
        "precision float32",
    ):
        assert said in page.text


def test_it_reloads_itself_until_the_training_is_finished(journal: Journal, tmp_path: Path) -> None:
    history = History({"decoupling": [1.0] * 10, "segmentation": [1.0] * 5}, 30.0)
    journal.begin(history)
    journal.write(MODEL, history)
    assert REFRESH in (tmp_path / "run" / PAGE).read_text()
    history.losses["segmentation"].append(0.5)
    journal.write(MODEL, history, finished=True)
    html = (tmp_path / "run" / PAGE).read_text()
    assert 'http-equiv="refresh"' not in html
    assert "finished nothing is left" in Page(html).text and "the checkpoint is beside this page" in Page(html).text
    assert "after step 6 of 6" in Page(html).text


def test_every_phase_has_its_curve_once_there_is_a_loss(journal: Journal, tmp_path: Path) -> None:
    journal.begin(History())
    assert page_in(tmp_path).tags["svg"] == 0
    journal.begin(History({"decoupling": [1.0]}, 3.0))
    page = page_in(tmp_path)
    assert page.tags["svg"] == 1
    assert "decoupling, 1 of 10 steps" in page.text and "segmentation, 0 of 6 steps" in page.text
    assert "1 now" in page.text
    journal.begin(History({"decoupling": [1.0] * 10, "segmentation": [3.0, 0.1]}, 9.0))
    page = page_in(tmp_path)
    assert page.tags["svg"] == 2
    assert "1 at the end" in page.text and "0.1 now" in page.text


def test_maps_come_in_the_last_phase_and_the_page_says_so(journal: Journal, examples: Drawn, tmp_path: Path) -> None:
    history = History({"decoupling": [1.0] * 9}, 1000.0)
    journal.begin(History())
    journal.write(MODEL, history)
    assert "They appear in the last phase, segmentation, because before it" in page_in(tmp_path).text
    history.losses["decoupling"].append(1.0)
    journal.begin(history)
    assert "They appear with one of the next saves" in page_in(tmp_path).text
    assert examples.times == 0
    history.losses["segmentation"] = [1.0]
    journal.write(MODEL, history)
    text = page_in(tmp_path).text
    assert "THE MAPS" in text and "after step 1 of 6" in text and "Held-out good images" in text


def test_training_images_are_called_so(examples: Drawn, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", replace(ABOUT, held_out=[]), [phase("distillation", 1)], examples)
    journal.write(MODEL, History({"distillation": [1.0]}, 5.0), finished=True)
    assert "Training images, because none were held out, each followed" in page_in(tmp_path).text


def test_tiles_are_called_so(examples: Drawn, tmp_path: Path) -> None:
    about = replace(ABOUT, fit=Fit(64, 64, "tile", tiles=(2, 1)))
    journal = Journal(tmp_path / "run", about, [phase("distillation", 1)], examples)
    journal.write(MODEL, History({"distillation": [1.0]}, 5.0), finished=True)
    assert "Held-out good images, one tile of each, each followed" in page_in(tmp_path).text


def test_maps_take_their_share_of_the_time_and_no_more(journal: Journal, examples: Drawn, tmp_path: Path) -> None:
    examples.takes = 6.0
    history = History({"decoupling": [1.0] * 10, "segmentation": []}, 5000.0)  # time before this phase does not count
    journal.begin(history)
    drawn = []
    for _ in range(20):
        history.seconds += 60.0
        history.losses["segmentation"] = [1.0] * min(5, 1 + len(history.losses["segmentation"]))
        before = examples.times
        journal.write(MODEL, history)
        drawn.append(examples.times > before)
    assert drawn[:11] == [True, *[False] * 8, True, False]  # the first tells what one takes
    assert examples.times * examples.takes <= SHARE * 20 * 60
    assert "THE MAPS" in page_in(tmp_path).text  # the last ones stay
    times = examples.times
    journal.write(MODEL, history, finished=True)
    assert examples.times == times + 1


def test_the_time_left_goes_by_the_pace_of_the_phase(journal: Journal, tmp_path: Path) -> None:
    history = History({"decoupling": [1.0] * 2}, 500.0)
    journal.begin(history)
    assert "unknown left" in page_in(tmp_path).text
    history.losses["decoupling"] += [1.0] * 3
    history.seconds += 30.0
    journal.write(MODEL, history)
    text = page_in(tmp_path).text
    assert "1 of 2 phase: decoupling 5 of 10 steps of this phase 8 min 50 s spent" in text
    assert "1 min 50 s left, at this phase’s pace" in text  # 10 s each for 5 and 6 steps
    history.losses |= {"decoupling": [1.0] * 10, "segmentation": []}
    journal.begin(history)
    history.losses["segmentation"] = [1.0] * 2
    history.seconds += 2.0
    journal.write(MODEL, history)
    assert "4 s left, about" in page_in(tmp_path).text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3599.9, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_spans_are_said_as_people_do(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("steps", "every", "losses", "done"), [(250, 3, 10, 30), (250, 3, 84, 250), (101, 2, 51, 101), (7, 1, 0, 0)]
)
def test_steps_are_counted_from_means_of_several(steps: int, every: int, losses: int, done: int) -> None:
    one = cast(Phase, SimpleNamespace(name="distillation", steps=steps, every=every))
    assert History({"distillation": [1.0] * losses}).done(one) == done


def test_a_full_disk_is_said_once(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(journal_module, "write_atomically", full)
    journal.begin(History())
    journal.write(MODEL, History({"decoupling": [1.0]}, 3.0))
    page = tmp_path / "run" / PAGE
    assert (
        capsys.readouterr().err
        == f"{page}: cannot be written: No space left on device; the training continues without it\n"
    )


def test_a_picture_that_cannot_be_read_does_not_stop_it(
    journal: Journal, examples: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(model: Network) -> str:
        raise ImageError("<u>.png: is not a picture")

    monkeypatch.setattr(examples, "draw", damaged)
    journal.write(MODEL, History({"decoupling": [1.0] * 10, "segmentation": [1.0]}, 3.0), finished=True)
    assert "There are none: <u>.png: is not a picture" in page_in(tmp_path).text
