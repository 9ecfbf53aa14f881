"""INT8 weights for releases before 10: the same numbers, written as floats."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
import tiny_bundle
from onnx import TensorProto, helper, numpy_helper
from stand_in_tensorrt import tensorrt

from edge_inspect.edge.engines.openvino import CORE
from edge_inspect.edge.engines.tensorrt.builder import build
from edge_inspect.edge.engines.tensorrt.float_weights import with_float_weights
from edge_inspect.edge.errors import EngineError


def quantized() -> bytes:
    """Return a network of two convolutions with integer weights; the output of the first has a Q/DQ pair.

    The weights of one have a scale per channel, those of the other a single scale."""
    rng = np.random.default_rng(0)
    constants = {
        "w1": rng.integers(-63, 64, (6, 3, 3, 3), np.int8),
        "w1_scale": rng.random(6, np.float32) * 0.01 + 0.001,
        "w1_zero": np.zeros(6, np.int8),
        "w2": rng.integers(-63, 64, (4, 6, 1, 1), np.int8),
        "w2_scale": np.float32(0.0123),
        "w2_zero": np.int8(0),
        "x_scale": np.float32(0.05),
        "x_zero": np.int8(0),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["w1", "w1_scale", "w1_zero"], ["w1_float"], "w1_float", axis=0),
        helper.make_node("Conv", ["image", "w1_float"], ["x"]),
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["x_int8"]),
        helper.make_node("DequantizeLinear", ["x_int8", "x_scale", "x_zero"], ["x_float"]),
        helper.make_node("DequantizeLinear", ["w2", "w2_scale", "w2_zero"], ["w2_float"], "w2_float"),
        helper.make_node("Conv", ["x_float", "w2_float"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 12, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 10, 10])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def run(model: bytes) -> np.ndarray:
    image = np.random.default_rng(1).standard_normal((1, 3, 12, 12)).astype(np.float32)
    compiled = CORE.compile_model(CORE.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled(image)["y"])


def test_the_numbers_stay_and_no_weight_is_an_integer() -> None:
    changed = onnx.load_from_string(with_float_weights(quantized()))
    onnx.checker.check_model(changed)
    np.testing.assert_array_equal(run(changed.SerializeToString()), run(quantized()))
    integers = {t.name for t in changed.graph.initializer if t.data_type == TensorProto.INT8}
    assert integers == {"w1_zero", "w2_zero", "x_zero"}
    pairs = [node.op_type for node in changed.graph.node if node.input[0].startswith("w")]
    assert pairs == ["QuantizeLinear", "DequantizeLinear"] * 2


def test_the_floats_are_the_integers_steps() -> None:
    """TensorRT's own quantization must give the same integers."""
    before, after = (onnx.load_from_string(m) for m in (quantized(), with_float_weights(quantized())))
    was, now = ({t.name: numpy_helper.to_array(t) for t in m.graph.initializer} for m in (before, after))
    for name, scale in (("w1", was["w1_scale"].reshape(6, 1, 1, 1)), ("w2", was["w2_scale"])):
        np.testing.assert_array_equal(np.rint(now[name] / scale).astype(np.int8), was[name])


def test_a_network_without_integer_weights_comes_back_as_it_is() -> None:
    assert with_float_weights(tiny_bundle.network()) == tiny_bundle.network()


@pytest.mark.parametrize(("version", "floats"), [("8.6.1", True), ("10.3.0", False)])
def test_only_releases_before_10_are_given_floats(version: str, floats: bool) -> None:
    built = build(tensorrt(version)[0], quantized(), "int8")
    assert built.plan.endswith(with_float_weights(quantized()) if floats else quantized())


def test_a_box_without_the_onnx_package_is_told_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(EngineError, match="reads INT8 weights only as floats.*pip install onnx"):
        build(tensorrt("8.5.3.1")[0], quantized(), "int8")
    assert build(tensorrt("8.5.3.1")[0], tiny_bundle.network(), "fp16").plan
