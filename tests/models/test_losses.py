"""The flattened cosine."""

from __future__ import annotations

import pytest
import torch

from edge_inspect.models.discrepancy import cosine_distance
from edge_inspect.models.losses import flattened_cosine


def random_features(seed: int, scales: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, 8 * 2**i, 16 // 2**i, 16 // 2**i, generator=generator) for i in range(scales)]


def test_equal_features_cost_nothing() -> None:
    same = random_features(0)
    assert float(flattened_cosine(same, same)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_opposite_features_cost_2_a_scale(scales: int) -> None:
    one = random_features(0, scales)
    assert float(flattened_cosine(one, [-f for f in one])) == pytest.approx(2 * scales, abs=1e-5)


def test_one_cosine_is_taken_over_the_whole_tensor_of_an_image() -> None:
    # Two positions: the long vectors agree, the short ones are opposite.
    teacher = torch.tensor([[[[3.0, 1.0]]]])
    student = torch.tensor([[[[3.0, -1.0]]]])
    assert float(flattened_cosine([teacher], [student])) == pytest.approx(1 - (9 - 1) / 10, abs=1e-6)
    assert float(cosine_distance(teacher, student).mean()) == pytest.approx(1.0)


def test_images_are_averaged_not_mixed() -> None:
    teacher = torch.tensor([1.0, 0.0, 100.0, 0.0]).view(2, 2, 1, 1)
    student = torch.tensor([0.0, 1.0, 100.0, 0.0]).view(2, 2, 1, 1)
    assert float(flattened_cosine([teacher], [student])) == pytest.approx(0.5, abs=1e-6)


def test_bfloat16_features_are_compared_in_float32() -> None:
    teacher, student = ([f.bfloat16() for f in random_features(seed)] for seed in (0, 1))
    with torch.autocast("cpu", torch.bfloat16):
        loss = flattened_cosine(teacher, student)
    exact = flattened_cosine([f.double() for f in teacher], [f.double() for f in student])
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(exact), abs=1e-6)


def test_zero_features_cost_1_and_have_finite_gradients() -> None:
    student = torch.zeros(1, 4, 2, 2, requires_grad=True)
    loss = flattened_cosine([torch.ones(1, 4, 2, 2)], [student])
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_scales_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        flattened_cosine(random_features(0, 3), random_features(0, 2))
