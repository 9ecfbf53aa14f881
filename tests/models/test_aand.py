"""AAND: sizes, gates, residuals and losses, as docs/methods.md has them."""

from __future__ import annotations

import pytest
import torch
from model_cost import millions, multiply_adds
from small_teacher import SMALL
from torch import Tensor
from torch.nn import functional

from edge_inspect.models.aand import AmplifiedDistillation
from edge_inspect.models.amplification import PROTOTYPES, TEMPERATURE, ResidualAmplification, positional_code
from edge_inspect.models.losses import amplification, focal, hardest_cosine
from edge_inspect.models.masks import mask_pyramid
from edge_inspect.models.teacher import Teacher


@pytest.fixture
def model() -> AmplifiedDistillation:
    torch.manual_seed(0)
    return AmplifiedDistillation(Teacher(SMALL))


@pytest.mark.parametrize(
    ("name", "scales", "total"),
    [("resnet18", (0.072576, 0.276224, 1.076736), 19.591488), ("wide_resnet50_2", (1.08, 4.25, 6.40), 120.392512)],
)
def test_parameters_are_those_of_the_method(name: str, scales: tuple[float, ...], total: float) -> None:
    with torch.device("meta"):
        model = AmplifiedDistillation(Teacher(name))
    assert [millions(raa) for raa in model.amplification] == pytest.approx(scales, rel=5e-3)
    assert millions(model) == pytest.approx(total, rel=1e-3)
    assert round(total, 1) == {"resnet18": 19.6, "wide_resnet50_2": 120.4}[name]


@pytest.mark.parametrize(("name", "total"), [("resnet18", 5.17), ("wide_resnet50_2", 40.8)])
def test_multiply_adds_are_those_of_the_method(name: str, total: float) -> None:
    with torch.device("meta"):
        model = AmplifiedDistillation(Teacher(name))
    assert sum(multiply_adds(model, 256).values()) == pytest.approx(total, rel=0.015)


def test_the_closed_form_of_the_gate_is_its_softmax_form() -> None:
    torch.manual_seed(0)
    raa = ResidualAmplification(32)
    feature = torch.rand(2, 32, 6, 5)
    query = raa.query(feature + positional_code(32, 6, 5))
    match = functional.cosine_similarity(query[:, None], raa.memory[None, :, :, None, None], dim=2)
    softmax = (match / TEMPERATURE).softmax(1)
    assert torch.allclose(raa.gate(feature), softmax[:, PROTOTYPES:].sum(1, keepdim=True), atol=1e-6)


def test_a_gate_of_zero_changes_no_bit(model: AmplifiedDistillation) -> None:
    for raa, feature in zip(model.amplification, model.teacher(torch.randn(2, 3, 64, 96)), strict=True):
        assert torch.equal(raa(feature, torch.zeros_like(feature[:, :1])), feature)


def test_amplification_never_flips_or_more_than_doubles_a_channel(model: AmplifiedDistillation) -> None:
    features = model.teacher(torch.randn(2, 3, 64, 64))
    for amplified, feature in zip(model.amplify(features), features, strict=True):
        assert (amplified >= 0).all()
        assert (amplified <= 2 * feature).all()
        assert not torch.equal(amplified, feature)


def test_the_positional_code_fits_any_size() -> None:
    code = positional_code(32, 4, 7)
    assert code.shape == (32, 4, 7)
    assert torch.equal(code[:16, 0], code[:16, 3])  # the first half says where it is across
    assert torch.equal(code[16:, :, 0], code[16:, :, 6])
    assert code[0, 0].tolist() == pytest.approx([torch.sin(torch.tensor(float(x))).item() for x in range(7)], abs=1e-6)
    assert code[1, 0, 0] == code[17, 0, 0] == 1


def test_masks_keep_what_is_thin() -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 8:14, :] = 1
    features = [torch.zeros(1, 1, side, side) for side in (16, 8, 4)]
    pyramid = mask_pyramid(mask, features)
    assert [m[0, 0].sum(0)[0].item() for m in pyramid] == [2, 1, 1]  # rows marked: 2 of 4 px, 1 of 8 px, 1 of 16 px
    assert mask_pyramid(mask, features, 0.5)[2].sum() == 0


def test_the_amplification_loss_is_the_brute_force_one() -> None:
    torch.manual_seed(1)
    vanilla, amplified = torch.rand(2, 8, 3, 4), torch.rand(2, 8, 3, 4)
    marked = (torch.rand(2, 1, 3, 4) > 0.6).float()
    part = (torch.rand(2, 1, 3, 4) > 0.2).float()
    normal = (1 - marked) * part

    def vectors(feature: Tensor, where: Tensor) -> list[Tensor]:
        return [feature[n, :, y, x] for n in range(2) for y in range(3) for x in range(4) if where[n, 0, y, x] == 1]

    def cosine(a: Tensor, b: Tensor) -> float:
        return float(functional.cosine_similarity(a, b, dim=0))

    pairs = list(zip(vectors(vanilla, marked), vectors(amplified, marked), strict=True))
    wanted = [
        max(0.0, cosine(n, after) - (cosine(n, before) - 0.3))
        for n in vectors(vanilla, normal)
        for before, after in pairs
    ]
    found = amplification(vanilla, amplified, marked, normal)
    assert float(found) == pytest.approx(sum(wanted) / len(wanted), abs=1e-6)


def test_a_batch_without_defects_has_no_amplification_loss() -> None:
    amplified = torch.rand(1, 4, 2, 2, requires_grad=True)
    none = torch.zeros(1, 1, 2, 2)
    loss = amplification(torch.rand(1, 4, 2, 2), amplified, none, 1 - none)
    loss.backward()
    assert loss == 0


def test_the_hardest_positions_are_those_farthest_apart() -> None:
    teacher = torch.ones(1, 2, 1, 4)
    student = torch.ones(1, 2, 1, 4)
    student[0, 0, 0, 1] = -1  # orthogonal
    student[0, :, 0, 2] = -1  # opposite
    assert float(hardest_cosine([teacher], [student], 2)) == pytest.approx((1 + 2) / 2)
    assert float(hardest_cosine([teacher], [student], 10)) == pytest.approx((1 + 2) / 4)


def test_each_stage_trains_its_own_parts(model: AmplifiedDistillation) -> None:
    features = model.teacher(torch.randn(2, 3, 64, 64))
    masks = torch.zeros(2, 1, 64, 64)
    masks[:, :, 16:48, 16:48] = 1
    model.amplification_loss(features, masks, torch.ones_like(masks)).backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert learned == {name for name, _ in model.named_parameters() if name.startswith("amplification.")}
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        amplified = model.amplify(features)
    model.loss(amplified).backward()
    assert all(p.grad is None for p in model.amplification.parameters())
    assert all(p.grad is not None for part in (model.bottleneck, model.decoder) for p in part.parameters())


def test_the_map_compares_the_amplified_features(model: AmplifiedDistillation) -> None:
    image = torch.randn(1, 3, 64, 96)
    amplified, student = model.eval()(image)
    assert all(torch.equal(a, b) for a, b in zip(amplified, model.targets(image), strict=True))
    assert [s.shape for s in student] == [a.shape for a in amplified]
    assert model.anomaly_map(image).shape == (1, 1, 64, 96)


@pytest.mark.parametrize("half", ["normal", "anomalous"])
def test_a_gate_that_is_sure_keeps_its_gradient_in_bfloat16(half: str) -> None:
    torch.manual_seed(0)
    raa = ResidualAmplification(32)
    feature = torch.rand(2, 32, 6, 5)
    with torch.no_grad():  # every prototype of one half is what each position asks for, of the other its opposite
        query = functional.normalize(raa.query(feature + positional_code(32, 6, 5)), dim=1).mean((0, 2, 3))
        raa.query[4].weight.zero_()
        raa.query[4].bias.copy_(query)
        own = slice(0, PROTOTYPES) if half == "normal" else slice(PROTOTYPES, 2 * PROTOTYPES)
        raa.memory.copy_(-query.expand_as(raa.memory))
        raa.memory[own] = query
    wrong = torch.full((2, 1, 6, 5), float(half == "normal"))
    with torch.autocast("cpu", torch.bfloat16):
        gate = raa.gate(feature)
        focal(gate, wrong, alpha=0.5).backward()
    assert gate.dtype == torch.float32
    assert torch.allclose(gate, raa.gate(feature), rtol=0.02, atol=0)
    assert torch.minimum(gate, 1 - gate).max() < 1e-4
    assert raa.memory.grad is not None and raa.memory.grad.abs().sum() > 1e-3


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_amplification_loss_is_computed_in_float32(seed: int) -> None:
    torch.manual_seed(seed)
    vanilla, amplified = torch.rand(2, 8, 6, 7), torch.rand(2, 8, 6, 7)
    marked = (torch.rand(2, 1, 6, 7) > 0.6).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = amplification(vanilla, amplified, marked, 1 - marked)
    assert found.dtype == torch.float32
    assert torch.equal(found, amplification(vanilla, amplified, marked, 1 - marked))


def test_amplification_begins_as_the_authors_code_does() -> None:
    torch.manual_seed(0)
    raa = ResidualAmplification(128)
    convolutions = [part for part in raa.modules() if isinstance(part, torch.nn.Conv2d)]
    assert len(convolutions) == 6
    for part in convolutions:  # Kaiming normal, fan-out: a 1x1 convolution's standard deviation is sqrt(2 / outputs)
        assert float(part.weight.detach().std()) == pytest.approx((2 / part.out_channels) ** 0.5, rel=0.05)
