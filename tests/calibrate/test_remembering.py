"""A student with a memory beside it as ONNX: the trained model's map in float32, and a valid graph in INT8."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from small_teacher import SMALL

from edge_inspect.calibrate.export import to_onnx
from edge_inspect.calibrate.int8.activations import collect
from edge_inspect.calibrate.int8.clipping import scale
from edge_inspect.calibrate.int8.quantize import Int8Plan, quantizable, quantize
from edge_inspect.edge.engines.openvino import CORE
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.memory import Memory, Remembering, Usual
from edge_inspect.models.network import Network
from edge_inspect.models.teacher import Teacher
from edge_inspect.train.systems import SYSTEMS, system_of


def remembering(name: str, options: dict[str, str], grid: tuple[int, int] | None) -> Network:
    """The system with a memory of random prototypes, judged by something usual at each position of a grid."""
    torch.manual_seed(3)
    teacher = Teacher(SMALL)
    if name == Memory.name:
        model: Memory | Remembering = Memory(teacher, 12, grid)
    else:
        model = Remembering(system_of(name).build(teacher, options), 12, grid)
    if isinstance(model.usual, Usual):
        model.usual.mean.copy_(torch.rand_like(model.usual.mean))
        model.usual.scale.copy_(0.5 + torch.rand_like(model.usual.scale))
    for bank in (model.banks.plain, model.banks.standardised):
        bank.prototypes.copy_(torch.nn.functional.normalize(torch.randn_like(bank.prototypes)))
    if isinstance(model, Remembering):
        model.weights.copy_(torch.tensor([3.0, 0.5]))
    return model.eval()


@pytest.mark.parametrize(
    ("name", "options", "grid"),
    [
        ("memory", {}, None),
        ("memory", {}, (8, 8)),
        ("rd", {}, None),
        ("rd", {}, (8, 8)),
        ("aand", {}, (8, 8)),
        ("dmdd", {"student_width": "half"}, None),
    ],
)
def test_the_graph_gives_the_models_map_and_takes_int8(
    name: str, options: dict[str, str], grid: tuple[int, int] | None
) -> None:
    model = remembering(name, options, grid)
    exported = to_onnx(model, Fit(64, 64))
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        wanted = model(image).numpy()
    assert [output.name for output in exported.graph.output] == ["map"]
    compiled = CORE.compile_model(
        CORE.read_model(exported.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    np.testing.assert_allclose(compiled(image.numpy())[0], wanted, atol=2e-4)

    activations = collect(exported, quantizable(exported), [image.numpy()])
    scales = {tensor: scale(activation.histogram, "max") for tensor, activation in activations.items()}
    means = {tensor: activation.means for tensor, activation in activations.items()}
    int8 = quantize(exported, scales, means, Int8Plan())
    onnx.checker.check_model(int8, full_check=True)
    prototypes = [node for node in int8.graph.node if node.op_type == "ReduceMax"]
    assert len(prototypes) >= 2  # one a bank, and those of the system


def test_every_system_is_tested_here() -> None:
    assert list(SYSTEMS) == ["rd", "memory", "aand", "dmdd"]
