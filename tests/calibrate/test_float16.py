from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edge_inspect.calibrate.float16 import beyond_float16, rounded, to_float16
from edge_inspect.calibrate.int8.activations import Activation
from edge_inspect.edge.engines.openvino import CORE, compile_model


@pytest.fixture
def network() -> onnx.ModelProto:
    """Convolution, ReLU, residual addition, transposed convolution; and a norm, as before a cosine."""
    rng = np.random.default_rng(0)

    def constant(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)

    weights = [constant("w0", 8, 3, 3, 3), constant("w1", 8, 8, 3, 3), constant("w2", 8, 5, 2, 2), constant("b2", 5)]
    weights.append(numpy_helper.from_array(np.float32(1e-8), "epsilon"))
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["c0"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], name="relu0"),
        helper.make_node("Conv", ["r0", "w1"], ["c1"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c1", "r0"], ["a1"], name="residual"),
        helper.make_node("Relu", ["a1"], ["features"], name="relu1"),
        helper.make_node("ConvTranspose", ["features", "w2", "b2"], ["doubled"], name="double", strides=[2, 2]),
        helper.make_node("ReduceL2", ["features"], ["norm"], name="norm", axes=[1]),
        helper.make_node("Clip", ["norm", "epsilon"], ["safe"], name="clip"),
        helper.make_node("Div", ["features", "safe"], ["normalised"], name="div"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 24])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (
            ("features", [1, 8, 16, 24]),
            ("doubled", [1, 5, 32, 48]),
            ("normalised", [1, 8, 16, 24]),
        )
    ]
    graph = helper.make_graph(nodes, "net", [image], outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(1, 3, 16, 24)).astype(np.float32)


def infer(model: onnx.ModelProto, image: np.ndarray) -> list[np.ndarray]:
    compiled = compile_model(CORE.read_model(io.BytesIO(model.SerializeToString())))
    return list(compiled([image]).values())


def types(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    return {value.name: value.type.tensor_type.elem_type for value in [*inferred.value_info, *inferred.output]}


def test_weights_and_what_follows_are_float16_and_norms_float32(network: onnx.ModelProto) -> None:
    typed = to_float16(network)
    found = types(typed)
    kinds = {node.name: found[node.output[0]] for node in typed.graph.node if node.name}
    half = {"first", "relu0", "second", "residual", "relu1", "double"}
    assert {name for name, kind in kinds.items() if kind == TensorProto.FLOAT16} == half
    assert {name for name, kind in kinds.items() if kind == TensorProto.FLOAT} == {"norm", "clip", "div"}
    stored = {tensor.name: tensor.data_type for tensor in typed.graph.initializer}
    assert stored.pop("epsilon") == TensorProto.FLOAT
    assert set(stored.values()) == {TensorProto.FLOAT16} and len(stored) == 4
    assert [value.type.tensor_type.elem_type for value in typed.graph.input] == [TensorProto.FLOAT]
    assert [value.type.tensor_type.elem_type for value in typed.graph.output] == [TensorProto.FLOAT] * 3
    assert typed.opset_import[0].version == 17


def test_every_process_makes_the_same_file(network: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(network, tmp_path / "network.onnx")
    code = "import hashlib, onnx, sys; from edge_inspect.calibrate.float16 import to_float16; "
    code += "print(hashlib.sha256(to_float16(onnx.load(sys.argv[1])).SerializeToString()).hexdigest())"
    command = [sys.executable, "-c", code, str(tmp_path / "network.onnx")]
    made = {
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2", "3", "4")
    }
    assert len(made) == 1


def test_the_float_network_is_left_as_it_was(network: onnx.ModelProto) -> None:
    before = network.SerializeToString()
    rounded(to_float16(network))
    assert network.SerializeToString() == before


def test_rounding_in_float32_gives_the_numbers_of_float16(network: onnx.ModelProto, image: np.ndarray) -> None:
    """onnx's reference keeps a float16 after each node, and so does the rounded network; OpenVINO alone does not.

    But for the transposed convolution, which the reference sums up in float16 too.
    """
    typed = to_float16(network)
    wanted = ReferenceEvaluator(typed).run(None, {"image": image})
    exact = infer(network, image)
    got = infer(rounded(typed), image)
    for i in (0, 2):
        assert np.abs(got[i] - wanted[i]).mean() < 0.3 * np.abs(exact[i] - wanted[i]).mean()
    features = got[0]
    np.testing.assert_array_equal(features, features.astype(np.float16).astype(np.float32))
    upcast = infer(typed, image)[0]
    assert (upcast != upcast.astype(np.float16).astype(np.float32)).any(), "OpenVINO rounds by itself: drop `rounded`"


def test_a_weight_beyond_float16_is_refused(network: onnx.ModelProto) -> None:
    large = numpy_helper.to_array(network.graph.initializer[0]).copy()
    large[0, 0, 0, 0] = 1e5
    network.graph.initializer[0].CopyFrom(numpy_helper.from_array(large, "w0"))
    with pytest.raises(ValueError, match="w0 has values beyond float16"):
        to_float16(network)


def test_activations_near_the_end_of_float16_are_named() -> None:
    calm, wild = Activation(), Activation()
    calm.add(np.array([[0.0, 900.0]], np.float32))
    wild.add(np.array([[0.0, -20_000.0]], np.float32))
    assert beyond_float16({"calm": calm, "wild": wild}) == {"wild": 20_000.0}
