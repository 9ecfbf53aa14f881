"""Checkpoints on disk: what is written is read back, and what is not a checkpoint is refused by name."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from small_teacher import SMALL

from edge_inspect.edge.errors import CheckpointError
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.memory import Remembering
from edge_inspect.models.rd import ReverseDistillation
from edge_inspect.models.teacher import Teacher
from edge_inspect.train.checkpoint import DESCRIPTION, TENSORS, Checkpoint, load, save
from edge_inspect.train.systems import system_of

ABOUT = Checkpoint(
    model="rd",
    teacher=SMALL,
    teacher_sha256="ab" * 32,
    category="nut",
    fit=Fit(64, 96, "crop", (1, 2, 30, 40), True),
    steps=3,
    seed=7,
    trained_on=["01" * 32],
    held_out=["02" * 32],
    training={"batch": 4, "loss": [0.5, 0.25], "versions": {"torch": "2"}},
)


@pytest.fixture(scope="module")
def model() -> ReverseDistillation:
    torch.manual_seed(0)
    return ReverseDistillation(Teacher(SMALL))


@pytest.fixture
def folder(model: ReverseDistillation, tmp_path: Path) -> Path:
    """A complete checkpoint."""
    save(tmp_path / "run", ABOUT, model)
    return tmp_path / "run"


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / DESCRIPTION
    fields = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump({name: value for name, value in fields.items() if value != "absent"}))


def test_what_is_saved_is_loaded(model: ReverseDistillation, folder: Path) -> None:
    about, loaded = load(folder)
    assert about == ABOUT
    assert not loaded.training
    wanted, found = model.state_dict(), loaded.state_dict()
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert sorted(path.name for path in folder.iterdir()) == sorted([DESCRIPTION, TENSORS])


@pytest.mark.parametrize(("memory", "teacher"), [(0, SMALL), (4, SMALL), (0, "tf_efficientnet_lite0")])
@pytest.mark.parametrize("system", ["rd", "aand", "dmdd"])
def test_a_student_of_half_width_comes_back(system: str, memory: int, teacher: str, tmp_path: Path) -> None:
    built = system_of(system).build(Teacher(teacher), {"student_width": "half"}).eval()
    model = Remembering(built, memory).eval() if memory else built
    options = {"student_width": "half"}
    about = replace(ABOUT, model=system, teacher=teacher, memory=memory, options=options)
    save(tmp_path / "run", about, model)
    again, loaded = load(tmp_path / "run")
    assert again == about
    picture = torch.randn(1, 3, 64, 64)
    assert torch.equal(loaded.anomaly_map(picture), model.anomaly_map(picture))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"student_width": "full"}, r"checkpoint.safetensors: its tensors are not this model's; \d+ differ"),
        ({}, r"checkpoint.safetensors: its tensors are not this model's; \d+ differ"),
        ({"student_width": "third"}, r"checkpoint.yaml: .*student width 'third' is unknown; there are full, half"),
        ({"student_width": [1]}, r"checkpoint.yaml: .*student width \[1\] is unknown"),
        ({"student-width": "half"}, r"checkpoint.yaml: .*rd has no option student-width"),
    ],
)
def test_another_width_than_that_of_the_tensors_is_refused(
    options: dict[str, object], reason: str, tmp_path: Path
) -> None:
    model = system_of("rd").build(Teacher(SMALL), {"student_width": "half"})
    save(tmp_path / "run", replace(ABOUT, options={"student_width": "half"}), model)
    rewrite(tmp_path / "run", options=options)
    with pytest.raises(CheckpointError, match=reason):
        load(tmp_path / "run")


def test_a_channels_last_model_is_saved_alike(model: ReverseDistillation, folder: Path, tmp_path: Path) -> None:
    other = ReverseDistillation(Teacher(SMALL))
    other.load_state_dict(model.state_dict())
    save(tmp_path / "other", ABOUT, other.to(memory_format=torch.channels_last))
    assert (tmp_path / "other" / TENSORS).read_bytes() == (folder / TENSORS).read_bytes()


def test_the_description_holds_no_python_objects(folder: Path) -> None:
    text = (folder / DESCRIPTION).read_text()
    assert "!!python" not in text
    assert yaml.safe_load(text)["fit"] == ABOUT.fit.as_dict()


def test_another_format_is_refused(folder: Path) -> None:
    rewrite(folder, format=1)
    with pytest.raises(CheckpointError, match=r"checkpoint.yaml: has format 1; this program reads format 3: train ag"):
        load(folder)


def test_tensors_that_differ_are_named(folder: Path) -> None:
    tensors = load_file(folder / TENSORS)
    del tensors["decoder.stage1.0.body.0.0.weight"]
    tensors["bottleneck.fuse1.0.0.weight"] = torch.zeros(2, 2)
    tensors["a.stranger"] = torch.zeros(1)
    save_file(tensors, folder / TENSORS)
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    message = str(caught.value)
    assert "3 differ: a.stranger, bottleneck.fuse1.0.0.weight, decoder.stage1.0.body.0.0.weight" in message
    assert str(folder / TENSORS) in message


def test_another_teachers_tensors_are_refused(folder: Path) -> None:
    rewrite(folder, teacher="resnet18")
    with pytest.raises(CheckpointError, match=r"its tensors are not this model's; \d+ differ: (\S+, ){4}\S+$"):
        load(folder)


def test_a_pickle_in_place_of_the_tensors_is_refused_and_not_run(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Malice:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(marker),)

    (folder / TENSORS).write_bytes(pickle.dumps(Malice()))
    with pytest.raises(CheckpointError, match=r"checkpoint.safetensors: is not a safetensors file"):
        load(folder)
    assert not marker.exists()


def test_python_objects_in_the_description_are_refused_and_not_made(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (folder / DESCRIPTION).write_text(f"!!python/object/apply:os.mkdir ['{marker}']\n")
    with pytest.raises(CheckpointError, match=r"checkpoint.yaml: is not the description of a checkpoint"):
        load(folder)
    assert not marker.exists()


def test_cut_or_missing_tensors_are_refused(folder: Path) -> None:
    path = folder / TENSORS
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"checkpoint.safetensors: is not a safetensors file"):
        load(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"checkpoint.safetensors"):
        load(folder)


def test_an_unfinished_training_is_called_so(folder: Path) -> None:
    (folder / DESCRIPTION).unlink()
    with pytest.raises(CheckpointError, match=r"holds no checkpoint.yaml; its training has not finished; make a"):
        load(folder)


def test_a_folder_that_is_none_is_not_called_unfinished(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(CheckpointError, match=r"holds no checkpoint.yaml; make a checkpoint with edge-train fit"):
            load(folder)


@pytest.mark.parametrize("text", ["", "a: [", "- a\n- b\n", "just words", "model: rd\n", "\x00", "3"])
def test_a_broken_description_is_refused(folder: Path, text: str) -> None:
    (folder / DESCRIPTION).write_text(text)
    with pytest.raises(CheckpointError, match=r"checkpoint.yaml: is not the description of a checkpoint"):
        load(folder)


def test_a_description_that_says_something_twice_is_refused(folder: Path) -> None:
    path = folder / "checkpoint.yaml"
    path.write_text(path.read_text() + "steps: 1\n")
    with pytest.raises(CheckpointError, match="steps: is given twice, lines "):
        load(folder)


def test_a_description_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / DESCRIPTION).write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(CheckpointError, match=r"checkpoint.yaml: is not the description of a checkpoint"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "padim"}, "'padim' is unknown; there are rd, memory"),
        ({"model": ["rd"]}, "unhashable"),
        ({"teacher": "resnet9000"}, "knows no model 'resnet9000'"),
        ({"teacher": 18}, ""),
        ({"fit": "absent"}, "fit"),
        ({"fit": None}, ""),
        ({"fit": {"width": 65}}, "multiple of 32"),
        ({"fit": {"breadth": 64}}, "breadth"),
        ({"seed": "absent"}, "seed"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_description_with_a_wrong_entry_is_refused(folder: Path, changes: dict[str, object], said: str) -> None:
    rewrite(folder, **changes)
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    assert str(folder / DESCRIPTION) in str(caught.value)
    assert said in str(caught.value)
