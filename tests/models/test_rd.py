"""RD4AD's size, cost and shapes, as docs/methods.md has them."""

from __future__ import annotations

import pytest
import torch
from model_cost import millions, multiply_adds
from small_teacher import CHANNELS, SMALL
from torch import Tensor

from edge_inspect.models.rd import ReverseDistillation
from edge_inspect.models.teacher import EMBEDDED, Teacher
from edge_inspect.train.teachers import EMBEDDED_WEIGHTS

PARTS = ("teacher", "bottleneck", "decoder")
NAMES = ("resnet18", "wide_resnet50_2", EMBEDDED, SMALL)


@pytest.fixture(scope="module")
def models() -> dict[str, ReverseDistillation]:
    """RD4AD on every teacher, without memory behind it: shapes and counts need none."""
    with torch.device("meta"):
        return {name: ReverseDistillation(Teacher(name)) for name in NAMES}


@pytest.mark.parametrize(
    ("name", "parts", "total"),
    [
        ("resnet18", (2.782784, 11.68, 3.703168), 18.165952),
        ("wide_resnet50_2", (24.862528, 58.88512, 24.917504), 108.665152),
    ],
)
def test_parameters_are_those_of_the_method(
    models: dict[str, ReverseDistillation], name: str, parts: tuple[float, float, float], total: float
) -> None:
    model = models[name]
    assert [millions(model.get_submodule(part)) for part in PARTS] == pytest.approx(parts, rel=1e-3)
    assert millions(model) == pytest.approx(total, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "parts", "total"),
    [
        ("resnet18", (2.78, 11.68, 3.70), 18.2),
        ("wide_resnet50_2", (24.86, 58.89, 24.92), 108.7),
    ],
)
def test_parameters_round_to_the_methods_table(
    models: dict[str, ReverseDistillation], name: str, parts: tuple[float, float, float], total: float
) -> None:
    model = models[name]
    assert tuple(round(millions(model.get_submodule(part)), 2) for part in PARTS) == parts
    assert round(millions(model), 1) == total


@pytest.mark.parametrize(
    ("name", "parts", "total"),
    [("resnet18", (1.83, 0.93, 1.56), 4.32), ("wide_resnet50_2", (12.00, 7.32, 11.14), 30.5)],
)
def test_multiply_adds_are_those_of_the_method(
    models: dict[str, ReverseDistillation], name: str, parts: tuple[float, float, float], total: float
) -> None:
    counted = multiply_adds(models[name], 256)
    assert [counted[part] for part in PARTS] == pytest.approx(parts, rel=0.015)
    assert sum(counted.values()) == pytest.approx(total, rel=0.015)


@pytest.mark.parametrize(("size", "total"), [(320, 6.8), (384, 9.7), (512, 17.3)])
def test_multiply_adds_grow_with_the_area(models: dict[str, ReverseDistillation], size: int, total: float) -> None:
    assert sum(multiply_adds(models["resnet18"], size).values()) == pytest.approx(total, rel=0.015)


def test_the_embedded_teacher_makes_a_small_system(models: dict[str, ReverseDistillation]) -> None:
    embedded, large = (sum(multiply_adds(models[name], 256).values()) for name in (EMBEDDED, "resnet18"))
    assert embedded <= large / 3
    assert EMBEDDED_WEIGHTS.stat().st_size <= 3_000_000


@pytest.mark.parametrize(
    ("name", "channels", "embedding"),
    [
        ("resnet18", (64, 128, 256), 512),
        ("wide_resnet50_2", (256, 512, 1024), 2048),
        (SMALL, CHANNELS, 128),
    ],
)
def test_shapes_are_those_of_the_method(
    models: dict[str, ReverseDistillation], name: str, channels: tuple[int, int, int], embedding: int
) -> None:
    model = models[name]
    teacher, student = model(torch.zeros(1, 3, 256, 256, device="meta"))
    wanted = [(1, c, side, side) for c, side in zip(channels, (64, 32, 16), strict=True)]
    assert [tuple(f.shape) for f in teacher] == wanted
    assert [tuple(f.shape) for f in student] == wanted
    assert model.bottleneck(teacher).shape == (1, embedding, 8, 8)


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (32, 64)])
def test_the_student_mirrors_the_teacher_at_any_size(size: tuple[int, int]) -> None:
    model = ReverseDistillation(Teacher(SMALL)).eval()
    teacher, student = model(torch.randn(2, 3, *size))
    assert [s.shape for s in student] == [t.shape for t in teacher]
    assert all(torch.isfinite(s).all() and s.min() >= 0 for s in student)


def test_other_cnns_of_timm_can_teach() -> None:
    model = ReverseDistillation(Teacher("mobilenetv3_small_100")).eval()
    teacher, student = model(torch.randn(1, 3, 64, 64))
    assert [s.shape for s in student] == [t.shape for t in teacher]


def test_the_seed_decides_the_weights() -> None:
    def built(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        return ReverseDistillation(Teacher(SMALL)).state_dict()

    one, again, other = built(1), built(1), built(2)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["decoder.stage3.0.body.0.0.weight"], other["decoder.stage3.0.body.0.0.weight"])


def test_convolutions_start_as_kaiming_fan_out() -> None:
    torch.manual_seed(0)
    weight = ReverseDistillation(Teacher(SMALL)).bottleneck.fuse1[0][0].weight  # 16 -> 32, 3x3
    assert float(weight.detach().std()) == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.03)
