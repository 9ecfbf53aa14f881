"""The frozen teacher: shapes, and that nothing changes it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from small_teacher import CHANNELS, SMALL

from edge_inspect.models.blocks import BlockStyle
from edge_inspect.models.rd import ReverseDistillation
from edge_inspect.models.teacher import EMBEDDED, Teacher, pretrained_name


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet18", (64, 128, 256)),
        ("wide_resnet50_2", (256, 512, 1024)),
        (EMBEDDED, (32, 64, 128)),
        (SMALL, CHANNELS),
        ("mobilenetv3_small_100", (16, 24, 48)),
    ],
)
def test_features_come_at_strides_4_8_and_16(name: str, channels: tuple[int, int, int]) -> None:
    device = "meta" if name.startswith("wide") else "cpu"  # shapes need no seconds of initialisation
    with torch.device(device):
        teacher = Teacher(name)
        features = teacher(torch.zeros(2, 3, 64, 96))
    assert teacher.channels == channels
    wanted = [(2, c, 64 // s, 96 // s) for c, s in zip(channels, (4, 8, 16), strict=True)]
    assert [tuple(f.shape) for f in features] == wanted


@pytest.mark.parametrize("name", [EMBEDDED, "resnet18", "tf_efficientnet_lite0"])
def test_the_usual_teachers_need_no_timm(name: str) -> None:
    """It takes seconds to import, in every process."""
    script = f"import sys; from {Teacher.__module__} import Teacher; Teacher({name!r}); print('timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"False\n"


def test_features_of_a_resnet_are_post_relu() -> None:
    assert all(float(f.min()) >= 0 for f in Teacher("resnet18")(torch.randn(1, 3, 64, 64)))


def test_layer4_is_not_built() -> None:
    assert not any("layer4" in name or "fc" in name for name in Teacher("resnet18").network.state_dict())


def test_stays_in_evaluation_mode() -> None:
    model = ReverseDistillation(Teacher(SMALL))
    model.train()
    assert model.decoder.training
    assert not any(module.training for module in model.teacher.modules())


def test_has_no_gradients() -> None:
    teacher = Teacher(SMALL)
    image = torch.randn(1, 3, 64, 64, requires_grad=True)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert not any(f.requires_grad for f in teacher(image))


def test_a_training_step_leaves_the_teacher_as_it_was() -> None:
    torch.manual_seed(0)
    model = ReverseDistillation(Teacher(SMALL))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.005)
    model.loss(model.teacher(torch.randn(2, 3, 64, 64))).backward()
    optimizer.step()
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith("teacher.") for name in changed)
    assert any(name.endswith("running_mean") for name in changed)
    assert changed == {name for name in before if not name.startswith("teacher.")}


@pytest.mark.parametrize("name", ["resnet9000", "", "*"])
def test_an_unknown_name_is_refused_with_others_to_take(name: str) -> None:
    with pytest.raises(ValueError, match=r"knows no model .*; it knows embedded, \w+"):
        Teacher(name)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "inception_v3"])
def test_what_has_no_maps_of_these_strides_is_refused_with_others_to_take(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} has no convolutional features.*there are embedded, resnet18"):
        Teacher(name)


@pytest.mark.parametrize(("name", "signed"), [("resnet18", False), (SMALL, False), ("tf_efficientnet_lite0", True)])
def test_a_student_can_be_negative_where_its_teacher_can(name: str, signed: bool) -> None:
    torch.manual_seed(0)
    teacher = Teacher(name)
    assert teacher.signed == signed
    student = ReverseDistillation(teacher).eval().student(teacher(torch.randn(1, 3, 64, 64)))
    assert all(bool((features < 0).any()) == signed for features in student)


@pytest.mark.parametrize(
    ("name", "style"),
    [
        (EMBEDDED, BlockStyle("basic", 1.0, (2, 2, 2, 2))),
        ("resnet34.a1_in1k", BlockStyle("basic", 1.0, (3, 4, 6, 3))),
        ("resnet10t", BlockStyle("basic", 1.0, (1, 1, 1, 1))),
        ("resnet50", BlockStyle("bottleneck", 1 / 4, (3, 4, 6, 3))),
        ("resnet50.tv_in1k", BlockStyle("bottleneck", 1 / 4, (3, 4, 6, 3))),
        ("resnet26d", BlockStyle("bottleneck", 1 / 4, (2, 2, 2, 2))),
        ("resnet101.tv_in1k", BlockStyle("bottleneck", 1 / 4, (3, 4, 23, 3))),
        ("wide_resnet50_2.racm_in1k", BlockStyle("bottleneck", 1 / 2, (3, 4, 6, 3))),
        ("resnext50_32x4d", BlockStyle("bottleneck", 1 / 2, (3, 4, 6, 3))),
        ("tf_efficientnet_lite0", BlockStyle()),
    ],
)
def test_a_student_has_the_blocks_of_its_teacher(name: str, style: BlockStyle) -> None:
    with torch.device("meta"):  # shapes need no seconds of initialisation
        teacher = Teacher(name)
        student = ReverseDistillation(teacher)
    assert teacher.style == style
    stages = (student.decoder.stage3, student.decoder.stage2, student.decoder.stage1, student.bottleneck.embed)
    assert tuple(len(stage) for stage in stages) == style.counts


@pytest.mark.parametrize(
    ("name", "fetched"),
    [
        ("resnet18", "resnet18.tv_in1k"),
        ("resnet50", "resnet50.tv_in1k"),
        ("wide_resnet50_2", "wide_resnet50_2.tv_in1k"),
        ("resnet50.a1_in1k", "resnet50.a1_in1k"),
        ("resnet26d", "resnet26d"),  # torchvision has none
        ("mobilenetv3_small_100", "mobilenetv3_small_100"),
    ],
)
def test_an_untagged_name_means_torchvisions_first_weights_where_there_are_some(name: str, fetched: str) -> None:
    assert pretrained_name(name) == fetched
