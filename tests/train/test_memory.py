"""A memory of good parts: filled from the training pictures, balanced with a student, kept or left out, and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cloth import cloth_pictures, write_cloth
from numpy.typing import NDArray
from small_teacher import SMALL

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.discrepancy import gaussian_blur, upsample
from edge_inspect.models.memory import Memory, Remembering, local_features
from edge_inspect.models.teacher import Teacher
from edge_inspect.train import checkpoint, combination
from edge_inspect.train.combination import balance, compare
from edge_inspect.train.crossfit import CrossFit
from edge_inspect.train.device import Arithmetic
from edge_inspect.train.material import Material, normalise
from edge_inspect.train.memory import cross_fit, fill
from edge_inspect.train.settings import TrainingSettings
from edge_inspect.train.systems import system_of
from edge_inspect.train.training import fit
from edge_inspect.train.validation import TrialPictures

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    return cloth_pictures()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cloth(tmp_path_factory.mktemp("cloth"))


def filled(pictures: NDArray[np.uint8], prototypes: int) -> Memory:
    model = Memory(Teacher(SMALL), prototypes).eval()
    fill(model.banks, model.teacher, Material(pictures, None, Arithmetic(CPU), batch=4, seed=0, cache_gb=1.0))
    return model


def test_what_a_memory_has_seen_is_near_and_what_it_has_not_is_far(pictures: NDArray[np.uint8]) -> None:
    model = filled(pictures[:5], 5 * 64)
    stained = pictures[:1].copy()
    stained[0, 20:40, 20:40] = 255
    with torch.inference_mode():
        seen, new, stain = (
            model(normalise(images)).flatten(1).amax(1) for images in (pictures[:5], pictures[5:], stained)
        )
    assert float(seen.max()) < 5e-3
    assert float(new.min()) > 100 * float(seen.max())
    assert float(stain.max()) > float(new.max())


def test_a_bank_has_unit_prototypes_and_the_second_is_standardised(pictures: NDArray[np.uint8]) -> None:
    banks = filled(pictures, 20).banks
    for bank in (banks.plain, banks.standardised):
        assert torch.allclose(torch.linalg.vector_norm(bank.prototypes, dim=1), torch.ones(20), atol=1e-4)
        assert float(bank.spread) > 0
    assert float(banks.plain.mean.abs().max()) == 0 and torch.equal(
        banks.plain.scale, torch.ones_like(banks.plain.scale)
    )
    assert float(banks.standardised.mean.abs().max()) > 0


def test_both_maps_have_a_spread_of_one_on_unseen_pictures(pictures: NDArray[np.uint8]) -> None:
    torch.manual_seed(0)
    model = Remembering(system_of("rd").build(Teacher(SMALL), {}), 20).eval()
    fill(model.banks, model.teacher, Material(pictures[:5], None, Arithmetic(CPU), batch=4, seed=0, cache_gb=1.0))
    trial = TrialPictures(pictures[5:], np.ones((5, 64, 64), bool))
    balance(model, trial, CPU)
    with torch.inference_mode():
        image = normalise(pictures[5:])
        own, remembered = model.maps(image, model.teacher(image))
        both = model(image)
    assert float((own * model.weights[0]).std()) == pytest.approx(1, abs=1e-3)
    assert float((remembered * model.weights[1]).std()) == pytest.approx(1, abs=1e-3)
    assert torch.allclose(both, own * model.weights[0] + remembered * model.weights[1], atol=1e-4)
    found = compare(model, trial, CPU)
    assert set(found) == {"student", "both", "standard_error"} and all(0 <= value <= 1 for value in found.values())


@pytest.mark.parametrize("helps", [True, False])
def test_a_memory_is_shipped_where_flaws_say_that_it_helps(
    helps: bool,
    data: Path,
    small_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = {"student": 0.5, "both": 0.56 if helps else 0.54, "standard_error": 0.05}
    monkeypatch.setattr(combination, "compare", lambda *_: found)
    run = tmp_path / "run"
    about = fit(
        TrainingSettings(
            data=data,
            category=".",
            out=run,
            teacher=SMALL,
            teacher_weights=small_weights,
            memory=16,
            fit=Fit(64, 64),
            steps=3,
            batch=4,
            hold_out=0.3,
            device="cpu",
        )
    )
    assert ("it is kept" if helps else "it is left out") in capsys.readouterr().err
    assert (about.memory, about.gives_map) == ((16, True) if helps else (0, False))
    again, model = checkpoint.load(run)
    assert again == about and isinstance(model, Remembering) == helps and model.name == "rd"


def test_each_picture_is_scored_by_a_memory_that_lacks_its_block(pictures: NDArray[np.uint8]) -> None:
    blocks, whole = [0, 0, 1, 1, 1, 2, 2, 2, 2, 2], (0, 0, 64, 64)
    distinct = [True] * 10
    crossfit = CrossFit(Fit(64, 64), [whole] * 9 + [(0, 0, 8, 64)], blocks, distinct)
    material = Material(pictures, None, Arithmetic(CPU), batch=4, seed=0, cache_gb=1.0)
    model = Memory(Teacher(SMALL), 10 * 64).eval()
    scores = crossfit.scores(cross_fit(model, material, crossfit))
    with torch.inference_mode():
        seen = model.anomaly_map(normalise(pictures)).flatten(1).amax(1).tolist()
        narrow = float(model.anomaly_map(normalise(pictures[9:]))[..., :8].max())
    assert all(new > known for new, known in zip(scores, seen, strict=True))
    assert scores[9] > narrow
    others = [0, 1, 5, 6, 7, 8, 9]
    with torch.inference_mode():
        local = local_features(model.teacher(normalise(pictures)))
        distances = torch.zeros(3, 64)
        for bank in (model.banks.plain, model.banks.standardised):
            units = bank.directions(local).flatten(2)
            known = units[others].transpose(1, 2).flatten(0, 1)
            distances += (1 - (known @ units[2:5]).amax(1)) / bank.spread
        expected = gaussian_blur(upsample(distances.view(3, 1, 8, 8), (64, 64))).flatten(1).amax(1)
    np.testing.assert_allclose(scores[2:5], expected, rtol=1e-3)
    distinct[3] = False
    maps = cross_fit(model, material, crossfit)
    assert crossfit.scores(maps) == scores
    assert crossfit.entries(scores, maps) == {"scores": [*scores[:3], *scores[4:]]}


def test_a_system_of_memory_alone_trains_nothing(data: Path, small_weights: Path, tmp_path: Path) -> None:
    about = fit(
        TrainingSettings(
            data=data,
            category=".",
            out=tmp_path / "run",
            model="memory",
            teacher=SMALL,
            teacher_weights=small_weights,
            memory=8,
        )
    )
    built = {"prototypes": 8, "grid": [32, 32]}
    assert (about.steps, about.options, about.memory, about.gives_map) == (0, built, 0, True)
    assert about.training["loss"] == {} and not (tmp_path / "run" / "progress.html").exists()
    assert about.scores == [] and (len(about.trained_on), len(about.held_out)) == (7, 1)
    _, model = checkpoint.load(tmp_path / "run")
    assert isinstance(model, Memory) and len(model.banks.plain.prototypes) == 8
