"""The phases of AAND and DMDD: what learns, what stays, and that an interruption changes nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_teacher import SMALL

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.teacher import Teacher
from edge_inspect.train import checkpoint, loop
from edge_inspect.train.checkpoint import Checkpoint
from edge_inspect.train.device import Arithmetic
from edge_inspect.train.material import Material
from edge_inspect.train.settings import TrainingSettings
from edge_inspect.train.synthesis import Synthesis
from edge_inspect.train.systems import system_of
from edge_inspect.train.textures import render_textures
from edge_inspect.train.training import fit

PHASES = {"aand": {"amplification": 3, "distillation": 4}, "dmdd": {"decoupling": 4, "segmentation": 2}}


@pytest.fixture(scope="module")
def settings(small_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingSettings:
    """A short training on ten pictures of cloth."""
    folder = tmp_path_factory.mktemp("textures")
    (folder / "good").mkdir()
    rng = np.random.default_rng(0)
    base = next(render_textures(1, (64, 64), seed=11)).astype(int)
    for i in range(10):
        noisy = np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "good" / f"{i:02d}.png"), noisy)
    return TrainingSettings(
        data=folder,
        category=".",
        out=folder / "runs",
        teacher=SMALL,
        teacher_weights=small_weights,
        memory=0,
        fit=Fit(64, 64),
        steps=4,
        batch=4,
        device="cpu",
        hold_out=0.0,
    )


@pytest.fixture(scope="module", params=["aand", "dmdd"])
def trained(request: pytest.FixtureRequest, settings: TrainingSettings) -> tuple[TrainingSettings, Checkpoint]:
    """Either system, trained without interruption."""
    asked = dataclasses.replace(settings, model=request.param, out=settings.out / request.param)
    return asked, fit(asked)


def test_the_phases_are_those_of_the_method(trained: tuple[TrainingSettings, Checkpoint]) -> None:
    asked, about = trained
    assert {name: phase["steps"] for name, phase in about.training["loss"].items()} == PHASES[asked.model]
    assert 0 <= about.training["seconds_waited_for_data"] <= about.training["seconds"]
    assert about.options == {"student_width": "full"} | ({"trunk": "reverse"} if asked.model == "dmdd" else {})


def test_the_map_that_is_asked_for_is_shipped(settings: TrainingSettings, tmp_path: Path) -> None:
    run = tmp_path / "run"
    about = fit(dataclasses.replace(settings, model="dmdd", options={"map": "distances"}, out=run))
    assert about.training["mixture"] == {"weights": [0, 1, 0]}
    assert checkpoint.load(run)[1].mixture.tolist() == [0, 1, 0]


def test_an_interruption_after_any_step_changes_nothing(
    trained: tuple[TrainingSettings, Checkpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, about = trained
    again = dataclasses.replace(asked, out=tmp_path / "run", save_seconds=0.0)
    step = loop.Progress.step
    for _ in range(sum(PHASES[asked.model].values())):
        done = 0

        def interrupted(self: loop.Progress, count: int = 1, note: str = "") -> None:
            nonlocal done
            step(self, count, note)
            if note.startswith("loss"):
                done += 1
                if done == 2:  # the state of the first is saved by now
                    raise KeyboardInterrupt

        monkeypatch.setattr(loop.Progress, "step", interrupted)
        try:
            resumed = fit(again)
            break
        except KeyboardInterrupt:
            continue
    assert resumed.training["loss"] == about.training["loss"]
    assert (again.out / checkpoint.TENSORS).read_bytes() == (asked.out / checkpoint.TENSORS).read_bytes()


def test_each_phase_changes_its_parts_alone(settings: TrainingSettings) -> None:
    pictures = np.stack([cv2.imread(str(p)) for p in sorted((settings.data / "good").iterdir())])
    for name, wanted in PHASES.items():
        torch.manual_seed(0)
        system = system_of(name)
        model = system.build(Teacher(SMALL), {})
        synthesis = Synthesis(pictures, seed=0, **(system.synthesis or {}))
        material = Material(pictures, synthesis, Arithmetic(torch.device("cpu")), batch=5, seed=0, cache_gb=1.0)
        phases = system.phases(model, material, 4, 0.005)
        assert [phase.name for phase in phases] == list(wanted)
        for phase in phases:
            own = {id(p) for part in phase.parts for p in part.parameters()}
            before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
            model.eval()
            for part in phase.parts:
                part.train()
            phase.begin()
            optimizer = torch.optim.Adam([p for part in phase.parts for p in part.parameters()], lr=0.001)
            batches = iter(phase.batches(0))
            for _ in range(2):  # in the first step nothing passes DMDD's pyramids, which begin adding nothing
                phase.loss(next(batches)).backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            changed = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
            learning = {key for key, p in model.named_parameters() if id(p) in own}
            assert changed & {key for key, _ in model.named_parameters()} <= learning
            assert len(changed & learning) > 0.9 * len(learning)
            # BatchNorm's running statistics are part of what a frozen network has learned.
            frozen = {key for key in changed if "running" in key} - {
                key for part in phase.parts for key in _names_under(model, part)
            }
            assert not frozen


def _names_under(model: torch.nn.Module, part: torch.nn.Module) -> list[str]:
    prefix = next(name for name, module in model.named_modules() if module is part)
    return [f"{prefix}.{name}" for name, _ in part.named_buffers()]


def test_good_pictures_are_among_those_aand_amplifies(settings: TrainingSettings) -> None:
    pictures = np.full((40, 64, 64, 3), 90, np.uint8)
    material = Material(
        pictures, Synthesis(pictures, seed=0), Arithmetic(torch.device("cpu")), batch=40, seed=0, cache_gb=1.0
    )
    (batch,) = list(material.defects(range(1), share=0.8))
    marked = batch.masks.flatten(1).any(1)
    assert 0.6 < float(marked.float().mean()) < 0.95
    good = material.images(batch.index)
    assert torch.equal(batch.images[~marked], good[~marked])
    outside = (batch.masks == 0).expand_as(batch.images)
    assert torch.equal(batch.images[outside], good[outside])
    again = next(iter(material.defects(range(1), share=0.8)))
    assert torch.equal(again.images, batch.images)
    assert not torch.equal(next(iter(material.defects(range(1, 2), share=0.8))).images, batch.images)


@pytest.mark.parametrize("first", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("batch", [None, 3, 10])
def test_steps_go_on_in_the_middle_of_a_pass(settings: TrainingSettings, first: int, batch: int | None) -> None:
    pictures = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 64, 64, 3), np.uint8)
    material = Material(pictures, Synthesis(pictures, seed=0), Arithmetic(torch.device("cpu")), 4, 0, 1.0)
    every = list(material.turns(range(7), batch))
    a_pass = {None: 3, 3: 3, 10: 1}[batch]  # a last batch of one picture is left out
    assert [(turn.number, turn.place) for turn in every] == [divmod(step, a_pass) for step in range(7)]
    seen = torch.cat([turn.index for turn in every[:a_pass]])
    assert len(seen) == len(set(seen.tolist())) == (9 if batch == 3 else 10)
    for whole, later in zip(every[first:], material.turns(range(first, 7), batch), strict=True):
        assert (whole.number, whole.place) == (later.number, later.place) and torch.equal(whole.index, later.index)
    drawn = list(material.defects(range(4), 0.8, batch))
    later = list(material.defects(range(min(first, 3), 4), 0.8, batch))
    assert all(torch.equal(a.images, b.images) for a, b in zip(drawn[-len(later) :], later, strict=True))


def test_what_fails_in_the_drawing_thread_reaches_the_training(settings: TrainingSettings) -> None:
    pictures = np.full((8, 64, 64, 3), 90, np.uint8)
    material = Material(
        pictures, Synthesis(pictures, seed=0), Arithmetic(torch.device("cpu")), batch=4, seed=0, cache_gb=1.0
    )
    material.synthesis.draw = lambda *_: (_ for _ in ()).throw(OSError("disk gone"))
    with pytest.raises(OSError, match="disk gone"):
        list(material.defects(range(2)))
