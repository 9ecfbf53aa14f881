"""`--model auto`: a memory alone or a student too, by synthetic flaws, pictures and time."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from model_cost import millions
from small_teacher import SMALL

from edge_inspect.edge.errors import UsageError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.train import auto, checkpoint
from edge_inspect.train.bootstrap import Gain
from edge_inspect.train.cli import main
from edge_inspect.train.settings import TrainingSettings
from edge_inspect.train.textures import render_textures
from edge_inspect.train.training import fit


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty noisy pictures of one texture, 48 of them to learn from."""
    folder = tmp_path_factory.mktemp("cloth")
    (folder / "good").mkdir()
    rng = np.random.default_rng(0)
    base = next(render_textures(1, (64, 64), seed=11)).astype(int)
    for i in range(60):
        picture = np.clip(base + cv2.GaussianBlur(rng.normal(0, 60, base.shape), None, 2), 0, 255)
        cv2.imwrite(str(folder / "good" / f"{i:02d}.png"), picture.astype(np.uint8))
    return folder


@pytest.fixture
def settings(data: Path, small_weights: Path, tmp_path: Path) -> TrainingSettings:
    return TrainingSettings(
        data=data,
        category=".",
        out=tmp_path / "run",
        model="auto",
        teacher=SMALL,
        teacher_weights=small_weights,
        memory=16,
        fit=Fit(64, 64),
        steps=2,
        device="cpu",
    )


@pytest.mark.parametrize(
    ("gained", "chosen"),
    [(Gain(0.86, 0.8, 0.02), "rd"), (Gain(0.84, 0.8, 0.02), "memory"), (Gain(0.86, 0.8, 0.07), "memory")],
)
def test_a_student_is_taken_where_it_is_better_by_more_than_its_error_and_a_margin(
    gained: Gain,
    chosen: str,
    settings: TrainingSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(auto, "ENOUGH", 40)
    seen: list[Any] = []

    def measured(student: Any, memory: Any, masks: Any, valid: Any) -> Gain:
        seen.append((student.shape, memory.shape, masks.shape, valid.shape))
        return gained

    monkeypatch.setattr(auto, "gain", measured)
    about = fit(settings)
    assert about.model == chosen and about.training["auto"]["standard_error"] == gained.error
    ((student, memory, masks, valid),) = seen
    assert bool(checkpoint.load(settings.out / "rd")[0].scores) is (chosen == "rd")
    # 48 pictures: the memory holds out 5, the student those and 5 more; each has six flaws.
    assert student == (35, 1, 16, 16) and memory == (35, 1, 8, 8) and masks == valid == (35, 64, 64)
    again, model = checkpoint.load(settings.out)
    assert again == about and model.name == chosen
    for name in ("memory", "rd"):
        assert checkpoint.load(settings.out / name)[0].model == name
    assert (settings.out / "progress.html").exists() == (chosen == "rd")
    doubtful = [(folder / "doubtful.html").read_bytes() for folder in (settings.out, settings.out / chosen)]
    assert doubtful[0] == doubtful[1]
    assert f"auto: {chosen} is taken: on synthetic flaws" in capsys.readouterr().err


def test_flaws_decide_as_they_are_drawn(settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "ENOUGH", 40)
    about = fit(settings)
    found = about.training["auto"]
    better = found["student_better_by"]
    assert about.model == ("rd" if better > max(found["standard_error"], auto.MARGIN) else "memory")


def test_few_pictures_train_no_student(settings: TrainingSettings, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(settings).model == "memory"
    assert "48 good images are too few to train and judge a student" in capsys.readouterr().err
    assert not (settings.out / "rd").exists()


def test_a_student_beyond_the_budget_is_not_trained(
    settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(auto, "ENOUGH", 40)
    assert fit(dataclasses.replace(settings, budget_ms=1e-3)).model == "memory"
    said = capsys.readouterr().err
    assert "the memory alone takes" in said and "and --budget-ms allows 0.001" in said
    assert not (settings.out / "rd").exists()


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network takes as many milliseconds as it has thousands of parameters: a clock would differ from run to run."""
    monkeypatch.setattr(auto, "ENOUGH", 40)
    monkeypatch.setattr(auto, "milliseconds", lambda network, fit: millions(network) * 1000)


@pytest.mark.usefixtures("timed")
@pytest.mark.parametrize(
    ("budget_ms", "options", "folder"),
    [
        (1_000, {}, "rd"),
        (400, {}, "rd-half"),
        (150, {}, None),
        (1_000, {"student-width": "half"}, "rd-half"),
        (None, {"student-width": "half"}, "rd-half"),
        (400, {"student-width": "full"}, None),
    ],
)
def test_the_student_is_as_wide_as_the_budget_allows(
    budget_ms: float | None,
    options: dict[str, str],
    folder: str | None,
    settings: TrainingSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(auto, "gain", lambda *_: Gain(0.86, 0.8, 0.02))
    about = fit(dataclasses.replace(settings, budget_ms=budget_ms, options=options))
    made = {path.name for path in settings.out.iterdir() if path.is_dir()}
    assert made == {"memory"} | ({folder} if folder else set())
    assert about.options.get("student_width") == {"rd": "full", "rd-half": "half", None: None}[folder]
    _, model = checkpoint.load(settings.out)
    assert model.name == about.model == ("rd" if folder else "memory")
    said, why = capsys.readouterr().err, about.training["auto"]["why"]
    assert ("a student of full width would take" in why) == (budget_ms is not None and budget_ms < 500)
    assert ("a student of half width would take" in why) == (budget_ms == 150)
    assert why in said
    assert (settings.out / "progress.html").exists() == bool(folder)


@pytest.mark.usefixtures("timed")
def test_another_width_or_budget_is_refused_in_the_same_folder(settings: TrainingSettings) -> None:
    asked = dataclasses.replace(settings, options={"student-width": "half"}, budget_ms=1.0)
    fit(asked)
    (settings.out / checkpoint.DESCRIPTION).unlink()
    for change, name in (
        ({"options": {}}, "student-width"),
        ({"options": {"student-width": "full"}}, "student-width"),
        ({"budget_ms": 2.0}, "budget_ms"),
    ):
        with pytest.raises(UsageError, match=f"belongs to a training with another {name};"):
            fit(dataclasses.replace(asked, **change))


def test_an_interrupted_choice_goes_on_and_another_training_is_refused(
    settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auto, "ENOUGH", 40)

    def stop(text: str) -> None:
        if "is taken" in text:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(auto, "say", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(settings)
    assert not (settings.out / checkpoint.DESCRIPTION).exists()
    with pytest.raises(UsageError, match="another seed"):
        fit(dataclasses.replace(settings, seed=1))
    students = (settings.out / "rd" / checkpoint.TENSORS).stat().st_mtime_ns
    fit(settings)
    assert (settings.out / "rd" / checkpoint.TENSORS).stat().st_mtime_ns == students
    with pytest.raises(UsageError, match="holds a finished checkpoint"):
        fit(settings)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--memory", "off"], "--model auto needs one; --model rd does not"),
        (["--budget-ms", "0"], "give milliseconds above 0"),
        (["--budget-ms", "nan"], "give milliseconds above 0"),
        (["--budget-ms", "5", "--model", "rd"], "and --model auto"),
        (["--trunk", "forward"], "--trunk forward"),
        (["--student-width", "quarter"], "--student-width quarter: there are full, half"),
        (["--student-width", "0.5"], "--student-width 0.5: there are full, half"),
        (["--student-width", ""], "there are full, half"),
        (["--student-width", "half", "--model", "memory"], "--model memory has no such option"),
    ],
)
def test_options_that_it_cannot_have_are_refused(
    options: list[str], reason: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--data", str(data), "--out", str(tmp_path / "run"), *options]) == 2
    assert reason in capsys.readouterr().err
