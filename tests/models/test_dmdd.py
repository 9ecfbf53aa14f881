"""DMDD: sizes, shapes and losses, as docs/methods.md has them."""

from __future__ import annotations

import pytest
import torch
from model_cost import millions, multiply_adds
from small_teacher import SMALL

from edge_inspect.models.discrepancy import cosine_distance
from edge_inspect.models.dmdd import DecoupledDistillation
from edge_inspect.models.losses import dice, flattened_cosine, focal
from edge_inspect.models.masks import mask_pyramid
from edge_inspect.models.pyramid import PyramidModeling
from edge_inspect.models.segmentation import MultiPerceptionHead
from edge_inspect.models.teacher import Teacher


@pytest.mark.parametrize(
    ("name", "trunk", "total", "parts"),
    [
        ("resnet18", "forward", 6.5, (0.17, 0.36, 0.06)),
        ("resnet18", "reverse", 19.1, (0.17, 0.36, 0.06)),
        ("wide_resnet50_2", "forward", 57.2, (2.76, 2.25, 0.21)),
        ("wide_resnet50_2", "reverse", 116.1, (2.76, 2.25, 0.21)),
    ],
)
def test_parameters_are_those_of_the_method(name: str, trunk: str, total: float, parts: tuple[float, ...]) -> None:
    with torch.device("meta"):
        model = DecoupledDistillation(Teacher(name), trunk)
    assert round(millions(model), 1) == total
    found = (model.decouple, model.normality, model.head)
    assert [round(millions(part), 2) for part in found] == pytest.approx(list(parts), abs=0.0051)
    assert millions(model.normality) == millions(model.abnormality)


@pytest.mark.parametrize(
    ("name", "trunk", "total"),
    [
        ("resnet18", "forward", 4.67),
        ("resnet18", "reverse", 5.33),
        ("wide_resnet50_2", "forward", 29.7),
        ("wide_resnet50_2", "reverse", 36.2),
    ],
)
def test_multiply_adds_are_those_of_the_method(name: str, trunk: str, total: float) -> None:
    with torch.device("meta"):
        model = DecoupledDistillation(Teacher(name), trunk)
    assert sum(multiply_adds(model, 256).values()) == pytest.approx(total, rel=0.015)


@pytest.mark.parametrize("trunk", ["reverse", "forward"])
@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
def test_shapes(trunk: str, size: tuple[int, int]) -> None:
    model = DecoupledDistillation(Teacher(SMALL), trunk).eval()
    image = torch.randn(2, 3, *size)
    features = model.teacher(image)
    normality, abnormality = model.branches(image, features)
    assert [n.shape for n in normality] == [a.shape for a in abnormality] == [f.shape for f in features]
    assert model.distances(image).shape == (2, 6, size[0] // 4, size[1] // 4)
    assert model(image).shape == (2, 1, size[0] // 4, size[1] // 4)
    assert model.anomaly_map(image).shape == (2, 1, *size)


def test_other_cnns_of_timm_can_teach() -> None:
    model = DecoupledDistillation(Teacher("mobilenetv3_small_100"), "forward").eval()
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 1, 16, 16)


def test_an_unknown_trunk_is_refused() -> None:
    with pytest.raises(ValueError, match="'sideways' is unknown; there are reverse, forward"):
        DecoupledDistillation(Teacher(SMALL), "sideways")


def test_a_forward_trunk_starts_untrained_and_learns_while_the_teacher_stays() -> None:
    torch.manual_seed(0)
    teacher = Teacher(SMALL)
    with torch.no_grad():
        for buffer in teacher.buffers():
            buffer.add_(1)
    model = DecoupledDistillation(teacher, "forward").train()
    assert all(p.requires_grad for p in model.trunk.parameters())
    assert model.trunk.bn1.running_mean.sum() == 0
    assert not torch.equal(model.trunk.conv1.weight, model.teacher.network.conv1.weight)
    before = {name: tensor.clone() for name, tensor in model.teacher.state_dict().items()}
    masks = torch.zeros(2, 1, 64, 64)
    masks[:, :, 8:24] = 1
    good = torch.randn(2, 3, 64, 64)
    model.student_loss(good, good + masks, masks, model.teacher(good)).backward()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.teacher.state_dict().items())
    assert all(p.grad is not None for p in model.trunk.parameters())
    assert all(p.grad is None for p in model.head.parameters())


def test_both_branches_begin_as_the_trunk() -> None:
    torch.manual_seed(0)
    model = DecoupledDistillation(Teacher(SMALL)).eval()
    image = torch.randn(1, 3, 64, 64)
    features = model.teacher(image)
    trunk = model.trunk(features)
    for branch in model.branches(image, features):
        assert all(torch.allclose(b, t, rtol=1e-4) for b, t in zip(branch, trunk, strict=True))


def test_the_shipped_map_is_the_mixture_of_its_parts() -> None:
    torch.manual_seed(0)
    model = DecoupledDistillation(Teacher(SMALL)).eval()
    image = torch.randn(1, 3, 64, 64)
    distances = model.distances(image)
    assert torch.equal(model(image), model.head(distances))
    model.mixture.copy_(torch.tensor([0.0, 2.0, 1.0]))
    wanted = 2 * distances[:, :3].sum(1, keepdim=True) + distances[:, 3:].sum(1, keepdim=True)
    assert torch.allclose(model(image), wanted, atol=1e-5)


def test_the_student_loss_is_guidance_and_mimicking(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = DecoupledDistillation(Teacher(SMALL)).eval()
    good, defective = torch.randn(2, 3, 64, 64), torch.randn(2, 3, 64, 64)
    masks = torch.zeros(2, 1, 64, 64)
    masks[0, :, 8:40, 8:40] = 1
    targets, seen = model.teacher(good), model.teacher(defective)
    clean, broken = model.branches(good, targets), model.branches(defective, seen)
    wanted = flattened_cosine(targets, clean[0]) + flattened_cosine(targets, broken[0])
    for k, marks in enumerate(mask_pyramid(masks, seen)):
        distance = cosine_distance(seen[k], broken[1][k])
        wanted = wanted + cosine_distance(targets[k], clean[1][k]).mean()
        wanted = wanted + distance[marks == 0].mean() + (1 - distance[marks == 1]).clamp(min=0).mean()
    found = model.student_loss(good, defective, masks, targets)
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)


def test_the_head_learns_from_its_loss_alone() -> None:
    torch.manual_seed(0)
    model = DecoupledDistillation(Teacher(SMALL)).train()
    masks = torch.zeros(2, 1, 64, 64)
    masks[:, :, :32] = 1
    model.head_loss(torch.rand(2, 6, 16, 16), masks).backward()
    learned = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert learned == {"head"}
    assert torch.isfinite(model.head_loss(torch.rand(2, 6, 16, 16), masks * 0))


def test_the_head_starts_at_two_percent_foreground() -> None:
    torch.manual_seed(0)
    head = MultiPerceptionHead(6, 32).eval()
    share = torch.sigmoid(head(torch.zeros(1, 6, 16, 16)).detach()).mean()
    assert 0.005 < float(share) < 0.06


def test_a_pyramid_brings_context_from_the_coarse_scale_to_the_fine_one() -> None:
    torch.manual_seed(0)
    pyramid = PyramidModeling((8, 16, 32), 8).eval()
    features = [torch.rand(1, 8, 16, 16), torch.rand(1, 16, 8, 8), torch.rand(1, 32, 4, 4)]
    before = pyramid(features)
    features[2] = features[2] + 1
    assert not torch.allclose(before[0], pyramid(features)[0])


def test_focal_and_dice_by_hand() -> None:
    probability = torch.tensor([[[[0.9, 0.2]]]])
    mask = torch.tensor([[[[1.0, 0.0]]]])
    log = torch.log
    easy = -(0.8 * 0.1**2 * log(torch.tensor(0.9)) + 0.2 * 0.2**2 * log(torch.tensor(0.8))) / 2
    assert float(focal(probability, mask, alpha=0.8)) == pytest.approx(float(easy), rel=1e-5)
    assert float(dice(probability, mask)) == pytest.approx(1 - (2 * 0.9 + 1) / (1.1 + 1 + 1), rel=1e-5)
    assert torch.isfinite(focal(torch.tensor([[[[0.0, 1.0]]]]), mask))
