"""DMDD's mixture: the part that finds the defects is the one that is shipped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.dmdd import DecoupledDistillation
from models.teacher import EMBEDDED, Teacher
from train.mixture import CANDIDATES, choose_mixture


@pytest.mark.parametrize("part", [0, 1])
def test_the_part_that_sees_is_chosen(part: int) -> None:
    torch.manual_seed(0)
    model = DecoupledDistillation(Teacher(EMBEDDED)).eval()
    pictures = np.random.default_rng(0).integers(80, 120, (4, 64, 64, 3), np.uint8)

    def parts(images: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(len(images), 3, 16, 16, generator=torch.Generator().manual_seed(1))
        seen = (images - images[:1]).abs().mean(1, keepdim=True)  # the first of a batch is the good one
        noise[:, part] = noise[:, part] * 0.01 + torch.nn.functional.avg_pool2d(seen, 4)[:, 0]
        return noise

    model.parts = parts
    told = choose_mixture(model, pictures, torch.device("cpu"))
    assert set(told["worth"]) == {str(list(weights)) for weights in CANDIDATES}
    best = told["worth"][str(told["weights"])]
    assert best == max(told["worth"].values()) > 0.8
    assert told["weights"][part] > 0
    assert all(told["worth"][str(list(weights))] < best for weights in CANDIDATES if weights[part] == 0)
    # Weighed by its spread, the part that sees outweighs the noise of the others.
    assert float(model.mixture[part]) == pytest.approx(float(model.mixture.max()))
