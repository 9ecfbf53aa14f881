"""What is usual at each position: helps where parts lie still, is left where positions are alike."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_teacher import SMALL

from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.memory import Memory, Remembering, Usual
from edge_inspect.train import checkpoint, combination
from edge_inspect.train.settings import TrainingSettings
from edge_inspect.train.training import fit
from edge_inspect.train.usual import FLOOR, by_others, learn_usual


def maps_of(count: int, seed: int, uneven: bool = True) -> torch.Tensor:
    """Maps of good parts: at the left they are higher and differ more, where `uneven`."""
    noise = torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    level = torch.linspace(1, 0, 16) * uneven
    return noise * (0.2 + level) + 3 * level


def test_usual_maps_become_even() -> None:
    maps = maps_of(400, 0)
    judged = learn_usual(maps)(maps_of(400, 1))
    assert float(maps.mean(0).std()) > 0.9 and float(judged.mean(0).abs().max()) < 0.2
    spread = judged.std(0)
    assert float(spread[0, :, 2].mean() / spread[0, :, -3].mean()) < 4 < 5
    assert float(maps.std(0)[0, :, 2].mean() / maps.std(0)[0, :, -3].mean()) > 2.5


@pytest.mark.parametrize("level", [0.0, 1.0, 7.0])
def test_positions_that_never_differ_do_not_cry_out(level: float) -> None:
    maps = maps_of(50, 2)
    maps[:, :, 5:8, 5:8] = level
    usual = learn_usual(maps)
    assert torch.isfinite(usual.scale).all() and float(usual.scale.max()) <= 1 / FLOOR
    same = learn_usual(torch.full((30, 1, 4, 4), level))
    assert torch.isfinite(same(torch.full((1, 1, 4, 4), level))).all()


def test_a_picture_is_judged_by_the_others_of_its_block_left_out() -> None:
    maps, blocks = maps_of(30, 3), torch.arange(30) // 10
    judged = by_others(maps, blocks)
    for block in range(3):
        wanted = learn_usual(maps[blocks != block])(maps[blocks == block])
        assert torch.equal(judged[blocks == block], wanted)
    odd = maps.clone()
    odd[3, 0, 8, 8] += 50
    assert float(by_others(odd, blocks)[3, 0, 8, 8]) > 2 * float(learn_usual(odd)(odd)[3, 0, 8, 8])


@pytest.fixture
def still(tmp_path: Path) -> Path:
    """Parts that lie still: ribs at the right, and at the left a grain that is never twice the same."""
    folder = tmp_path / "data" / "good"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    ribs = 20 * np.sin(np.arange(64) / 3)
    for number in range(60):
        part = 150 + np.tile(ribs, (64, 1)) + rng.normal(0, 1, (64, 64))
        part[:, :28] = 150 + cv2.GaussianBlur(rng.normal(0, 60, (64, 28)), (0, 0), 1.5)
        cv2.imwrite(str(folder / f"{number:02}.png"), part.clip(0, 255).astype(np.uint8))
    return tmp_path / "data"


def settings_of(data: Path, out: Path, weights: Path) -> TrainingSettings:
    return TrainingSettings(
        data=data,
        category=".",
        out=out,
        model="memory",
        teacher=SMALL,
        teacher_weights=weights,
        memory=200,
        fit=Fit(64, 64),
        hold_out=0.3,
        device="cpu",
    )


def test_it_is_taken_where_one_side_of_a_part_always_differs(
    still: Path, small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = fit(settings_of(still, tmp_path / "run", small_weights))
    found = about.training["usual"]
    assert found["kept"] and found["with"] - found["without"] > found["standard_error"]
    assert "judged by what is usual at each position" in capsys.readouterr().err
    again, model = checkpoint.load(tmp_path / "run")
    assert again == about and isinstance(model, Memory) and isinstance(model.usual, Usual)
    assert float(model.usual.mean[..., :3].mean()) > float(model.usual.mean[..., -3:].mean())
    assert len(about.scores) == len(about.trained_on)


@pytest.mark.parametrize(("hold_out", "taken"), [(0.3, True), (0.0, False), (0.05, False)])
def test_a_memory_beside_a_student_is_judged_by_it_too(
    hold_out: float, taken: bool, still: Path, small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(combination, "compare", lambda *_: {"student": 0.5, "both": 0.6, "standard_error": 0.05})
    settings = settings_of(still, tmp_path / "run", small_weights)
    about = fit(dataclasses.replace(settings, model="rd", steps=2, batch=4, hold_out=hold_out))
    assert (about.memory, about.usual, "usual" in about.training["memory"]) == (200, taken, taken)
    again, model = checkpoint.load(tmp_path / "run")
    assert again == about and isinstance(model, Remembering) and isinstance(model.usual, Usual) == taken
    if isinstance(model.usual, Usual):
        assert float(model.usual.mean[..., :3].mean()) > float(model.usual.mean[..., -3:].mean())
        picture = torch.randn(1, 3, 64, 64)
        with torch.inference_mode():
            judged, model.usual = model.anomaly_map(picture), torch.nn.Identity()
            assert not torch.allclose(judged, model.anomaly_map(picture))


@pytest.mark.parametrize("change", [{"hold_out": 0.0}, {"hold_out": 0.05}, {"fit": Fit(64, 64, "tile", tiles=(2, 1))}])
def test_it_is_not_chosen_without_judges_or_places(
    change: dict[str, object], still: Path, small_weights: Path, tmp_path: Path
) -> None:
    about = fit(dataclasses.replace(settings_of(still, tmp_path / "run", small_weights), **change))
    assert "usual" not in about.training and about.scores
    _, model = checkpoint.load(tmp_path / "run")
    assert isinstance(model, Memory)
    if isinstance(model.usual, Usual):
        assert not model.usual.mean.any() and bool((model.usual.scale == 1).all())
    assert isinstance(model.usual, Usual) == ("fit" not in change)
