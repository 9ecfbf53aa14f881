"""A student that is trained again with labelled good parts, by the command as a person gives it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import taught_parts
from small_teacher import SMALL, write_weights

from edge_inspect.calibrate.bundling import Request, make_bundle
from edge_inspect.calibrate.cli import main
from edge_inspect.calibrate.networks import Search
from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.bundle.manifest import PARENT, TAUGHT
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.edge.frame.images import write_image
from edge_inspect.train.checkpoint import DESCRIPTION, load
from edge_inspect.train.settings import TrainingSettings
from edge_inspect.train.training import fit

GOOD = 16


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with pictures of good parts, the teacher's weights, a checkpoint and its bundle."""
    folder = tmp_path_factory.mktemp("student")
    for number in range(GOOD):
        write_image(folder / "data/disc/train/good" / f"{number:03}.png", taught_parts.part(number))
    weights = write_weights(folder / "teacher.safetensors", 0)
    data, run = folder / "data", folder / "run"
    small = {"steps": 3, "batch": 4, "memory": 0, "fit": Fit(64, 64)}
    settings = TrainingSettings(data, "disc", run, teacher=SMALL, teacher_weights=weights, **small)
    fit(settings)
    good = folder / "data/disc/train/good"
    make_bundle(Request(folder / "run", good, folder / "disc-1", search=Search(seconds=0)), lambda text: None)
    yield folder


@pytest.fixture
def teach(home: Path, labels: Path) -> Callable[..., int]:
    """Runs the command; returns its exit status."""

    def run(out: Path, *more: object, bundle: Path = home / "disc-1", run: Path = home / "run") -> int:
        given: list[object] = ["teach", bundle, "--labels", labels, "--what", "student", "--run", run, "--out", out]
        given += ["--good", home / "data/disc/train/good", "--teacher-weights", home / "teacher.safetensors", *more]
        return main([str(each) for each in given])

    return run


def test_the_next_bundle_has_a_student_that_knows_the_labelled_parts(
    home: Path, teach: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert teach(tmp_path / "disc-2", "--json", tmp_path / "j") == 0
    made, parent = open_bundle(tmp_path / "disc-2"), open_bundle(home / "disc-1")
    before, _ = load(home / "run")
    after, _ = load(tmp_path / "disc-2-run")
    assert (after.model, after.steps, after.seed, after.fit) == (before.model, before.steps, before.seed, before.fit)
    known = {*after.trained_on, *after.held_out}
    told = json.loads((tmp_path / "j").read_text())
    assert told["what"] == "student" and told["labels"] == {"good": 12, "defect": 4, "unsure": 0}
    assert len(known) == GOOD + 12 and known > {*before.trained_on, *before.held_out}
    assert made.manifest.name == "disc-2" and made.manifest.provenance[PARENT]["digest"] == parent.digest
    assert made.manifest.provenance[TAUGHT]["what"] == "student"
    assert sum(each.images for each in made.manifest.decision.defects) == 4
    lesson = json.loads(made.file("report/teaching.json"))
    assert len(lesson["parts"]) == 16 and set(lesson["learned"]) <= known
    assert sorted(each.name for each in tmp_path.iterdir()) == ["disc-2", "disc-2-run", "j"]
    assert "trained again with 16 good pictures and 12 labelled good parts" in capsys.readouterr().err
    assert main(["show", str(tmp_path / "disc-2")]) == 0
    assert "12 parts labelled good and 4 labelled defect, from disc-1" in capsys.readouterr().out

    # An interruption between the training and the bundle leaves a finished training.
    written = (tmp_path / "disc-2-run" / DESCRIPTION).stat().st_mtime_ns
    assert teach(tmp_path / "disc-3", "--new-run", tmp_path / "disc-2-run") == 0
    assert (tmp_path / "disc-2-run" / DESCRIPTION).stat().st_mtime_ns == written


def test_what_does_not_belong_together_is_refused(
    home: Path,
    teach: Callable[..., int],
    bundle_of: Callable[[str], Bundle],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refused(status: int) -> str:
        assert status == 2 and not (tmp_path / "next").exists()
        return capsys.readouterr().err.splitlines()[-1]

    assert "give the folder of the checkpoint" in refused(teach(tmp_path / "next", bundle=bundle_of("memory").path))
    assert "holds no checkpoint.yaml" in refused(teach(tmp_path / "next", run=home))
    assert "has not learned these parts" in refused(teach(tmp_path / "next", "--new-run", home / "run"))
    (tmp_path / "there").mkdir()
    assert "already exists" in refused(teach(tmp_path / "there"))
