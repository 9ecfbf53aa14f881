from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from onnx import ModelProto
from small_teacher import SMALL
from torch import Tensor, nn

from edge_inspect.calibrate.export import to_onnx
from edge_inspect.edge.engines.openvino import CORE, compile_model
from edge_inspect.edge.frame.fit import Fit
from edge_inspect.models.aand import AmplifiedDistillation
from edge_inspect.models.teacher import Teacher
from edge_inspect.train.systems import system_of


@pytest.fixture(scope="module")
def gated() -> AmplifiedDistillation:
    """Gates as a training leaves them, far from 1/2 and from each other: what is reduced over positions shows."""
    torch.manual_seed(0)
    model = AmplifiedDistillation(Teacher(SMALL)).eval()
    for raa in model.amplification:
        nn.init.normal_(raa.query[-1].weight, std=0.5)
        nn.init.normal_(raa.generator[-1].weight, std=0.5)
    return model


@pytest.fixture(scope="module")
def exported(gated: AmplifiedDistillation) -> ModelProto:
    return to_onnx(gated, Fit(64, 64))


def test_aands_gates_are_the_models_where_positions_differ(gated: AmplifiedDistillation, exported: ModelProto) -> None:
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        teacher, _ = gated(image)
        gates = [raa.gate(feature) for raa, feature in zip(gated.amplification, gated.teacher(image), strict=True)]
    assert all(float(gate.std()) > 1e-3 for gate in gates)
    network = CORE.read_model(io.BytesIO(exported.SerializeToString()))
    given = compile_model(network)([image.numpy()])
    for name, wanted in zip(("teacher1", "teacher2", "teacher3"), teacher, strict=True):
        np.testing.assert_allclose(given[name], wanted.numpy(), atol=1e-4 * float(wanted.abs().max()))


def test_what_no_picture_changes_is_computed_at_export(exported: ModelProto) -> None:
    """AAND's memory of unit vectors: INT8 needs its values."""
    constants = {tensor.name for tensor in exported.graph.initializer}
    assert not [node.name for node in exported.graph.node if constants.issuperset(node.input)]
    convolutions = [node for node in exported.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    assert all(node.input[1] in constants for node in convolutions)
    read = {name for node in exported.graph.node for name in node.input}
    assert constants <= read


def test_a_student_of_half_width_gives_the_models_outputs() -> None:
    """AAND's; RD4AD's is in test_systems.py, and DMDD's in test_remembering.py."""
    torch.manual_seed(0)
    model = system_of("aand").build(Teacher("tf_efficientnet_lite0"), {"student_width": "half"}).eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        outputs = model(image)
    assert not isinstance(outputs, Tensor)
    wanted = [*outputs[0], *outputs[1]]
    network = CORE.read_model(io.BytesIO(to_onnx(model, Fit(96, 64)).SerializeToString()))
    given = list(compile_model(network)([image.numpy()]).values())
    assert len(given) == len(wanted)
    for found, tensor in zip(given, wanted, strict=True):
        np.testing.assert_allclose(found, tensor.numpy(), atol=1e-3 * float(tensor.abs().max()))
