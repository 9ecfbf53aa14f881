"""DMDD's map: distances are shipped, unless flaws show that another candidate is better."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_teacher import SMALL

from edge_inspect.models.dmdd import DecoupledDistillation
from edge_inspect.models.teacher import Teacher
from edge_inspect.train.mixture import CANDIDATES, DISTANCES, choose_mixture
from edge_inspect.train.validation import TrialPictures

CPU = torch.device("cpu")


def trial(count: int = 4, **more: object) -> TrialPictures:
    """Good pictures of noise."""
    pictures = np.random.default_rng(0).integers(80, 120, (count, 64, 64, 3), np.uint8)
    return TrialPictures(**{"pictures": pictures, "valid": np.ones((count, 64, 64), bool), **more})


def seeing(strengths: tuple[float, float, float], noise: float = 1.0) -> DecoupledDistillation:
    """A model whose parts are noise, and see what differs from the good picture by so much."""
    torch.manual_seed(0)
    model = DecoupledDistillation(Teacher(SMALL)).eval()

    def parts(images: torch.Tensor) -> torch.Tensor:
        drawn = noise * torch.randn(len(images), 3, 16, 16, generator=torch.Generator().manual_seed(1))
        seen = (images - images[:1]).abs().mean(1, keepdim=True)  # the first of a batch is the good one
        return drawn + torch.tensor(strengths)[:, None, None] * torch.nn.functional.avg_pool2d(seen, 4)

    model.parts = parts
    return model


def test_a_head_that_sees_what_distances_do_not_is_shipped() -> None:
    model = seeing((100.0, 0.0, 0.0))
    told = choose_mixture(model, trial(), CPU)
    assert set(told["worth"]) == {str(list(weights)) for weights in CANDIDATES}
    best = told["worth"][str(told["weights"])]
    assert best == max(told["worth"].values()) > 0.8
    assert told["weights"][0] > 0
    assert all(told["worth"][str(list(weights))] < best for weights in CANDIDATES if weights[0] == 0)
    difference, error = told["gain"]
    assert difference > error > 0
    # Weighed by its spread, the part that sees outweighs the noise of the others.
    assert float(model.mixture[0]) == pytest.approx(float(model.mixture.max()))


@pytest.mark.parametrize("strengths", [(0.0, 100.0, 0.0), (100.0, 100.0, 100.0), (0.0, 0.0, 0.0), (3.0, 100.0, 0.0)])
def test_distances_are_shipped_where_nothing_is_surely_better(strengths: tuple[float, float, float]) -> None:
    model = seeing(strengths)
    told = choose_mixture(model, trial(), CPU)
    difference, error = told["gain"]
    assert told["weights"] == list(DISTANCES) or difference > error
    if strengths[1] > strengths[0]:
        assert told["weights"] == list(DISTANCES) and model.mixture.tolist()[::2] == [0, 0]


@pytest.mark.parametrize("more", [{"learned": True}, {"count": 1}])
def test_distances_are_shipped_where_nothing_can_be_shown(more: dict[str, object]) -> None:
    told = choose_mixture(seeing((100.0, 0.0, 0.0)), trial(**more), CPU)
    assert told["weights"] == list(DISTANCES)


def padded(count: int) -> NDArray[np.bool_]:
    valid = np.ones((count, 64, 64), bool)
    valid[:, :, 20:] = False
    return valid


def test_padding_has_no_say() -> None:
    """The head sees every flaw, and shouts in the padding."""
    model = seeing((100.0, 0.0, 0.0))
    parts = model.parts

    def shouting(images: torch.Tensor) -> torch.Tensor:
        maps = parts(images)
        maps[:, 0, :, 10:] += 1000 * torch.rand(len(images), 16, 6, generator=torch.Generator().manual_seed(2))
        return maps

    model.parts = shouting
    whole, inside = (choose_mixture(model, each, CPU) for each in (trial(6), trial(6, valid=padded(6))))
    head = str([1.0, 0.0, 0.0])
    assert inside["worth"][head] > 0.9 > 0.75 > whole["worth"][head]
    assert inside["weights"][0] > 0
