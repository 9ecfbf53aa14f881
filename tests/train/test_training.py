"""The training loop: repeatable, resumable, and clear about what it refuses."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_teacher import SMALL, write_weights

from edge_inspect.edge.errors import CheckpointError, DataSetError, UsageError
from edge_inspect.edge.frame.fit import MEAN, STD, Fit
from edge_inspect.edge.frame.images import pixel_digest, read_image
from edge_inspect.models.network import Network
from edge_inspect.models.teacher import Teacher
from edge_inspect.train import checkpoint, journal, loop, resume
from edge_inspect.train import phase as phase_module
from edge_inspect.train.augmentation import Augmentation
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.cli import main
from edge_inspect.train.device import open_device
from edge_inspect.train.examples import Examples
from edge_inspect.train.journal import PAGE, REFRESH
from edge_inspect.train.material import normalise
from edge_inspect.train.phase import RECIPES, Phase, Schedule, constant, cosine, settle, step_decay
from edge_inspect.train.settings import TrainingSettings
from edge_inspect.train.systems import SYSTEMS
from edge_inspect.train.textures import render_textures
from edge_inspect.train.training import RESUME, fit

Change = Callable[..., TrainingSettings]


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of ten pictures of one kind, `cloth`."""
    folder = tmp_path_factory.mktemp("textures")
    good = folder / "cloth" / "train" / "good"
    good.mkdir(parents=True)
    rng = np.random.default_rng(0)
    base = next(render_textures(1, (64, 64), seed=11)).astype(int)
    for i in range(10):
        cv2.imwrite(str(good / f"{i:02d}.png"), np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def usual(textures: Path, small_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingSettings:
    """Settings of a short training."""
    return TrainingSettings(
        data=textures,
        category="cloth",
        out=tmp_path_factory.mktemp("usual") / "run",
        teacher=SMALL,
        teacher_weights=small_weights,
        memory=0,
        fit=Fit(64, 64),
        steps=6,
        batch=4,
        device="cpu",
        precision="float32",
    )


@pytest.fixture(scope="module")
def whole(usual: TrainingSettings) -> Checkpoint:
    """That training, uninterrupted."""
    return fit(usual)


@pytest.fixture
def settings(usual: TrainingSettings, tmp_path: Path) -> Change:
    """Those settings with changes, and a folder of one's own."""
    return lambda **changes: dataclasses.replace(usual, **{"out": tmp_path / "run", **changes})


def tensors_of(folder: Path) -> bytes:
    return (folder / checkpoint.TENSORS).read_bytes()


def losses_of(about: Checkpoint) -> list[float]:
    means: list[float] = about.training["loss"]["distillation"]["means"]
    return means


def interrupt_in_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Lets the next training be interrupted as by Ctrl-C in this step."""
    done = 0
    step = loop.Progress.step

    def counted(self: loop.Progress, count: int = 1, note: str = "") -> None:
        nonlocal done
        done += note.startswith("loss")
        if done == number:
            raise KeyboardInterrupt
        step(self, count, note)

    monkeypatch.setattr(loop.Progress, "step", counted)


def interrupted(settings: TrainingSettings, number: int) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        interrupt_in_step(monkeypatch, number)
        with pytest.raises(KeyboardInterrupt):
            fit(dataclasses.replace(settings, save_seconds=0.0))


def test_two_runs_of_one_seed_are_identical(settings: Change, usual: TrainingSettings, whole: Checkpoint) -> None:
    again = fit(settings())
    assert tensors_of(settings().out) == tensors_of(usual.out)
    assert again.training["loss"] == whole.training["loss"]
    assert (again.trained_on, again.held_out) == (whole.trained_on, whole.held_out)


def test_a_run_of_another_seed_is_another(settings: Change, usual: TrainingSettings, whole: Checkpoint) -> None:
    other = fit(settings(seed=1))
    assert tensors_of(settings().out) != tensors_of(usual.out)
    assert losses_of(other) != losses_of(whole)
    assert other.held_out != whole.held_out


def test_the_checkpoint_says_what_was_done(settings: Change, textures: Path) -> None:
    asked = settings(hold_out=0.2, seed=4, steps=2, foreground="disc")
    result = fit(asked)
    about, model = checkpoint.load(asked.out)
    assert about == result
    assert (about.model, about.teacher, about.category, about.fit) == ("rd", SMALL, "cloth", Fit(64, 64))
    assert (about.steps, about.seed, about.training["batch"], about.training["recipe"]) == (2, 4, 4, "decay")
    assert about.foreground == "disc"
    assert (len(about.trained_on), len(about.held_out), len(losses_of(about))) == (8, 2, 2)
    digests = {pixel_digest(read_image(path)) for path in (textures / "cloth" / "train" / "good").iterdir()}
    assert {*about.trained_on, *about.held_out} == digests
    assert not model.training
    assert sorted(path.name for path in asked.out.iterdir()) == [checkpoint.TENSORS, checkpoint.DESCRIPTION, PAGE]


def test_the_loss_falls(whole: Checkpoint) -> None:
    losses = losses_of(whole)
    assert 3 > np.mean(losses[:2]) > np.mean(losses[2:4]) > np.mean(losses[4:]) > 0


# In the first step, in the middle of a pass of two steps, between two, and in the last.
@pytest.mark.parametrize("step", [1, 2, 3, 4, 6])
def test_an_interrupted_training_goes_on_to_the_same_result(
    settings: Change, usual: TrainingSettings, whole: Checkpoint, step: int
) -> None:
    asked = settings()
    interrupted(asked, step)
    assert sorted(path.name for path in asked.out.iterdir()) == ([PAGE, RESUME] if step > 1 else [PAGE])
    assert REFRESH in (asked.out / PAGE).read_text()
    resumed = fit(asked)
    assert resumed.training["loss"] == whole.training["loss"]
    assert tensors_of(asked.out) == tensors_of(usual.out)
    assert not (asked.out / RESUME).exists()
    assert REFRESH not in (asked.out / PAGE).read_text()


@pytest.mark.parametrize("model", ["rd", "aand", "dmdd"])
def test_a_training_of_many_steps_keeps_some_of_its_losses(
    settings: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """A mean of several steps is kept, and only then can be saved: an interruption in between changes nothing."""
    monkeypatch.setattr(phase_module, "POINTS", 3)
    asked = [settings(model=model, out=tmp_path / name, steps=7) for name in ("whole", "parts")]
    about = fit(asked[0])
    last = list(about.training["loss"].values())[-1]
    assert len(last["means"]) == -(-last["steps"] // last["every"]) and last["every"] > 1
    interrupted(asked[1], 3)
    assert fit(asked[1]).training["loss"] == about.training["loss"]
    assert tensors_of(asked[0].out) == tensors_of(asked[1].out)


def test_the_rate_falls_to_zero_at_the_end_unless_the_paper_has_it_otherwise(
    settings: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = torch.optim.Adam.step

    def noted(self: torch.optim.Adam, closure: None = None) -> None:
        rates.append(self.param_groups[0]["lr"])
        step(self, closure)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    found = {}
    for model in ("rd", "aand"):
        for recipe in RECIPES:
            rates.clear()
            fit(settings(model=model, recipe=recipe, steps=10, out=tmp_path / model / recipe))
            found[model, recipe] = np.array(rates[-10:]) / 0.005
    assert np.all(found["rd", "paper"] == 1)
    assert found["aand", "paper"].tolist() == pytest.approx([1] * 8 + [0.2, 0.04])
    for model in ("rd", "aand"):
        decayed = found[model, "decay"]
        assert np.all(decayed[:5] == 1) and np.all(np.diff(decayed[5:]) < 0) and 0 < decayed[-1] < 0.1


@pytest.mark.parametrize("progress", np.linspace(0, 1, 9, endpoint=False))
def test_every_schedule_is_a_share_of_the_rate(progress: float) -> None:
    assert all(0 < schedule(progress) <= 1 for schedule in (constant, cosine, settle, step_decay))


@pytest.mark.parametrize(("model", "steps"), [(name, system.steps) for name, system in SYSTEMS.items()])
def test_a_system_says_how_long_it_trains(model: str, steps: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert (f"{model} {steps}" in said.partition("in the longest phase")[2]) == (steps > 0)


@pytest.mark.parametrize("model", ["rd", "aand"])
def test_maps_drawn_after_every_save_change_nothing(
    settings: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    asked = [settings(model=model, out=tmp_path / name, steps=2) for name in ("plain", "drawn")]
    fit(asked[0])
    drawn = 0
    draw = Examples.draw

    def counted(self: Examples, model: Network) -> str:
        nonlocal drawn
        drawn += 1
        return draw(self, model)

    monkeypatch.setattr(Examples, "draw", counted)
    monkeypatch.setattr(journal, "SHARE", 1e9)
    fit(dataclasses.replace(asked[1], save_seconds=0.0))
    assert drawn == 3  # after both steps of the last phase, and at the end
    assert tensors_of(asked[0].out) == tensors_of(asked[1].out)


def test_a_page_that_cannot_be_written_does_not_end_the_training(
    settings: Change, usual: TrainingSettings, whole: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = settings()
    (asked.out / PAGE / "in the way").mkdir(parents=True)
    assert fit(asked).steps == whole.steps
    assert tensors_of(asked.out) == tensors_of(usual.out)
    assert capsys.readouterr().err.count(f"{PAGE}: cannot be written: ") == 1


def test_resuming_with_other_settings_is_refused_by_name(settings: Change, small_weights: Path, tmp_path: Path) -> None:
    interrupted(settings(), 2)
    with pytest.raises(UsageError, match=r"belongs to a training with another batch, learning_rate; give"):
        fit(settings(batch=5, learning_rate=0.001))
    with pytest.raises(UsageError, match=r"another seed, pictures;"):
        fit(settings(seed=1))
    with pytest.raises(UsageError, match=r"another augment;"):
        fit(settings(augment=Augmentation(light=5)))
    with pytest.raises(UsageError, match=r"another teacher weights;"):
        fit(settings(teacher_weights=write_weights(tmp_path / "other.safetensors", seed=1)))
    assert (settings().out / RESUME).is_file()
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(small_weights.read_bytes())
    assert fit(settings(teacher_weights=copy, cache_gb=0.0)).steps == 6


@pytest.mark.parametrize("model", ["rd", "aand", "dmdd"])
def test_resuming_with_another_width_is_refused(settings: Change, model: str) -> None:
    half = settings(model=model, options={"student-width": "half"})
    interrupted(half, 2)
    for options in ({}, {"student-width": "full"}):
        with pytest.raises(UsageError, match=r"belongs to a training with another student-width; give"):
            fit(dataclasses.replace(half, options=options))
    about = fit(half)
    assert about.options["student_width"] == "half"
    again, loaded = checkpoint.load(half.out)
    assert again == about
    assert loaded.state_dict().keys() == load_file(half.out / checkpoint.TENSORS).keys()


def test_resuming_with_the_default_named_goes_on(settings: Change, usual: TrainingSettings, whole: Checkpoint) -> None:
    interrupted(settings(), 2)
    assert fit(settings(options={"student-width": "full"})).options == whole.options
    assert tensors_of(settings().out) == tensors_of(usual.out)


def test_features_computed_step_by_step_give_the_same_training(settings: Change, whole: Checkpoint) -> None:
    anew = fit(settings(cache_gb=0.0))
    assert losses_of(anew) == pytest.approx(losses_of(whole), rel=1e-3)


def test_bfloat16_comes_close_to_float32(settings: Change, whole: Checkpoint) -> None:
    reduced = fit(settings(steps=2, precision="bfloat16"))
    assert reduced.training["precision"] == "bfloat16"
    assert losses_of(reduced) == pytest.approx(losses_of(whole)[:2], rel=0.05)
    _, model = checkpoint.load(settings().out)
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_a_last_batch_of_one_picture_is_left_out(settings: Change) -> None:
    assert np.isfinite(losses_of(fit(settings(steps=2, hold_out=0.0, batch=9)))).all()


def test_a_finished_folder_is_not_overwritten(usual: TrainingSettings, whole: Checkpoint) -> None:
    before = tensors_of(usual.out)
    with pytest.raises(UsageError, match=r"run: holds a finished checkpoint; give another --out or remove it"):
        fit(usual)
    assert tensors_of(usual.out) == before
    assert checkpoint.load(usual.out)[0] == whole


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "padim"}, r"model 'padim' is unknown; there are rd, memory"),
        ({"options": {"trunk": "forward"}}, r"--trunk forward: --model rd has no such option"),
        ({"options": {"student-width": "third"}}, r"--student-width third: there are full, half"),
        ({"model": "dmdd", "options": {"map": "best"}}, r"--map best: there are chosen, head, distances"),
        ({"foreground": "left"}, r"--foreground left: there are auto, full"),
        ({"textures": Path("dtd")}, r"--textures: rd learns from good images alone"),
        ({"device": "abacus"}, r"--device abacus: "),
        ({"precision": "float8"}, r"--precision float8: there are auto, float32, bfloat16"),
        ({"steps": 0}, r"--steps must be at least 1"),
        ({"steps": -5}, r"--steps must be at least 1"),
        ({"recipe": "fast"}, r"--recipe fast: there are decay, paper"),
        ({"batch": 1}, r"--batch at least 2"),
        ({"hold_out": 1.0}, r"--hold-out must be at least 0 and below 1"),
        ({"hold_out": -0.1}, r"--hold-out"),
        ({"learning_rate": 0.0}, r"--learning-rate above 0"),
        ({"teacher": "resnet9000"}, r"--teacher resnet9000: timm knows no model"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: Change, changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fit(settings(**changes))
    assert not settings().out.exists()


def test_too_few_pictures_are_refused(settings: Change) -> None:
    with pytest.raises(
        DataSetError, match=r"cloth: has 1 good images to learn from, of 10 in all; .* or lower --hold-out"
    ):
        fit(settings(hold_out=0.9))


def test_a_loss_that_is_no_number_stops_the_training(settings: Change, tmp_path: Path) -> None:
    teacher = Teacher(SMALL).network.state_dict()
    teacher["conv1.weight"].fill_(float("nan"))
    save_file(teacher, tmp_path / "nan.safetensors")
    with pytest.raises(CheckpointError, match=r"the loss became nan by step 1; lower --learning-rate"):
        fit(settings(teacher_weights=tmp_path / "nan.safetensors"))
    assert not (settings().out / checkpoint.DESCRIPTION).exists()


def test_pictures_are_normalised_as_imagenet_in_rgb_order() -> None:
    bgr = np.zeros((1, 2, 3, 3), np.uint8)
    bgr[..., 0], bgr[..., 1], bgr[..., 2] = 10, 128, 255
    found = normalise(bgr)
    assert found.shape == (1, 3, 2, 3)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    for channel, value in enumerate((255, 128, 10)):
        wanted = (value / 255 - MEAN[channel]) / STD[channel]
        assert found[0, channel].numpy() == pytest.approx(np.full((2, 3), wanted), abs=1e-6)


def test_the_automatic_device_is_there() -> None:
    assert open_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert open_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("made", ["folder/in/a/file", "file"])
def test_a_place_that_cannot_be_written_is_said(settings: Change, tmp_path: Path, made: str) -> None:
    (tmp_path / "folder").write_text("a file")
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UsageError, match=r"--out .*(is a file|cannot be written: Not a directory; make room there)"):
        fit(settings(out=tmp_path / made))


@pytest.mark.parametrize("module", [checkpoint, resume])
def test_a_full_disk_is_said(settings: Change, monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(UsageError, match=r"--out .*: cannot be written: No space left on device; make room"):
        fit(settings(save_seconds=0.0))


@pytest.mark.parametrize(("save_seconds", "kept"), [(0.0, "1 steps are saved in"), (1e9, "nothing is saved yet")])
def test_an_interrupted_training_says_what_is_saved(
    settings: Change,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    save_seconds: float,
    kept: str,
) -> None:
    train_steps = loop.train_steps

    def interrupted(
        phase: Phase, optimizer: torch.optim.Optimizer, batches: Iterator[Any], steps: range, schedule: Schedule
    ) -> float:
        if steps.start == 1:
            raise KeyboardInterrupt
        return train_steps(phase, optimizer, batches, steps, schedule)

    monkeypatch.setattr(loop, "train_steps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(settings(save_seconds=save_seconds))
    assert kept in capsys.readouterr().err


def test_a_category_that_is_the_folder_itself_is_called_by_its_name(
    settings: Change, textures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(textures / "cloth", tmp_path / "cloth\nof 2026")
    fit(settings(data=tmp_path / "cloth\nof 2026", category=".", steps=1))
    assert r"rd cloth\nof 2026: distillation: 1/1 steps" in capsys.readouterr().err


def test_few_pictures_are_said_and_one_is_held_out(
    settings: Change, textures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "few" / "cloth" / "train" / "good"
    good.mkdir(parents=True)
    for path in sorted((textures / "cloth" / "train" / "good").iterdir())[:3]:
        shutil.copy(path, good)
    about = fit(settings(data=tmp_path / "few", steps=1))
    assert (len(about.trained_on), len(about.held_out)) == (2, 1)
    assert "warning: there are only 2 good images to learn from, and 1 held out; 50 or more" in capsys.readouterr().err
