"""Students of half width: narrower inside, and of the teacher's shapes outside."""

from __future__ import annotations

import pytest
import torch
from model_cost import millions, multiply_adds
from small_teacher import SMALL
from torch import nn

from edge_inspect.models.aand import AmplifiedDistillation
from edge_inspect.models.dmdd import DecoupledDistillation
from edge_inspect.models.network import Network
from edge_inspect.models.rd import ReverseDistillation
from edge_inspect.models.teacher import Teacher
from edge_inspect.models.width import inner_channels
from edge_inspect.train.systems import system_of

STUDENTS = ("rd", "aand", "dmdd")


def built(system: str, teacher: str, **options: str) -> Network:
    return system_of(system).build(Teacher(teacher), options)


@pytest.mark.parametrize(
    ("channels", "half"),
    [((64, 128, 256), (32, 64, 128)), ((24, 40, 112), (12, 20, 56)), ((9, 15, 1), (5, 8, 1))],
)
def test_half_of_the_channels(channels: tuple[int, int, int], half: tuple[int, int, int]) -> None:
    assert inner_channels(channels, "full") == channels
    assert inner_channels(channels, "half") == half


@pytest.mark.parametrize("width", ["quarter", "Half", "", 0.5, None])
@pytest.mark.parametrize("system", STUDENTS)
def test_another_width_is_refused(system: str, width: object) -> None:
    with pytest.raises(ValueError, match=r"student width .* is unknown; there are full, half"):
        system_of(system).build(Teacher(SMALL), {"student_width": width})


@pytest.mark.parametrize("system", STUDENTS)
def test_full_is_the_default_of_a_seed(system: str) -> None:
    states = []
    for options in ({}, {"student_width": "full"}):
        torch.manual_seed(3)
        states.append(built(system, SMALL, **options).state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
@pytest.mark.parametrize("teacher", [SMALL, "tf_efficientnet_lite0", "mobilenetv3_small_050", "resnet26d"])
@pytest.mark.parametrize("system", ["rd", "aand"])
def test_the_compared_features_have_the_teachers_shapes(system: str, teacher: str, size: tuple[int, int]) -> None:
    model = built(system, teacher, student_width="half").eval()
    image = torch.randn(2, 3, *size)
    given, student = model(image)
    assert [s.shape for s in student] == [t.shape for t in given]
    assert any(bool((s < 0).any()) for s in student) == model.teacher.signed
    assert model.anomaly_map(image).shape == (2, 1, *size)
    bottleneck, decoder = model.get_submodule("bottleneck"), model.get_submodule("decoder")
    inner = inner_channels(model.teacher.channels, "half")
    assert bottleneck(given).shape[1] == 2 * inner[2]
    heads = [part for part in decoder.get_submodule("heads").modules() if isinstance(part, nn.Conv2d)]
    assert [(head.in_channels, head.out_channels) for head in heads] == list(
        zip(inner, model.teacher.channels, strict=True)
    )


@pytest.mark.parametrize("trunk", ["reverse", "forward"])
@pytest.mark.parametrize("teacher", [SMALL, "tf_efficientnet_lite0", "mobilenetv3_small_050"])
def test_dmdds_branches_have_the_teachers_shapes(teacher: str, trunk: str) -> None:
    model = built("dmdd", teacher, student_width="half", trunk=trunk).eval()
    image = torch.randn(2, 3, 64, 96)
    assert isinstance(model, DecoupledDistillation)
    features = model.teacher(image)
    branches = model.branches(image, features)
    assert all([b.shape for b in branch] == [f.shape for f in features] for branch in branches)
    assert model.map_of(image, features).shape == (2, 1, 16, 24)


@pytest.mark.parametrize("teacher", ["resnet18", "wide_resnet50_2", "tf_efficientnet_lite0"])
@pytest.mark.parametrize(("system", "share"), [("rd", 0.45), ("aand", 0.7), ("dmdd", 0.6)])
def test_a_narrow_student_is_smaller_and_computes_less(system: str, share: float, teacher: str) -> None:
    with torch.device("meta"):
        full, half = (built(system, teacher, student_width=width) for width in ("full", "half"))
    fixed = millions(full.teacher)
    assert millions(half) - fixed < share * (millions(full) - fixed)
    assert millions(half.teacher) == fixed
    counts = [multiply_adds(model, 256) for model in (full, half)]
    student = [sum(gmac for part, gmac in count.items() if part != "teacher") for count in counts]
    assert student[1] < share * student[0]


@pytest.mark.parametrize("teacher", [SMALL, "tf_efficientnet_lite0"])
@pytest.mark.parametrize("system", STUDENTS)
def test_every_weight_of_a_narrow_student_learns(system: str, teacher: str) -> None:
    torch.manual_seed(0)
    model = built(system, teacher, student_width="half").train()
    image = torch.randn(2, 3, 64, 64)
    if isinstance(model, DecoupledDistillation):
        with torch.no_grad():  # they begin at zero, and nothing before them learns in the first step
            for branch in (model.normality, model.abnormality):
                for expand in branch.expand:
                    nn.init.ones_(expand[1].weight)
        masks = torch.zeros(2, 1, 64, 64)
        masks[:, :, 8:24] = 1
        model.student_loss(image, image + masks, masks, model.teacher(image)).backward()
        parts = ["trunk", "decouple", "normality", "abnormality"]
    else:
        assert isinstance(model, ReverseDistillation | AmplifiedDistillation)
        with torch.no_grad():
            targets = model.targets(image)
        model.loss(targets).backward()
        parts = ["bottleneck", "decoder"]
    for part in parts:
        for name, weight in model.get_submodule(part).named_parameters():
            assert weight.grad is not None and weight.grad.abs().sum() > 0, f"{part}.{name}"
