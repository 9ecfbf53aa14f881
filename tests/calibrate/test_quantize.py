from __future__ import annotations

import io

import numpy as np
import onnx
import openvino as ov
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from calibrate.activations import BINS, WEIGHT_LEVELS, collect, mse_clip
from calibrate.quantize import Plan, activation_scales, pixel_shuffle, quantize

PLANS = [
    Plan(),
    Plan(residuals=False),
    Plan(first=False),
    Plan(shortcuts=False),
    Plan(deconvolutions=False),
    Plan(pixel_shuffle=True),
]


@pytest.fixture
def network() -> onnx.ModelProto:
    """Convolution, ReLU, a residual block, a transposed convolution: every place a plan may touch."""
    rng = np.random.default_rng(0)

    def constant(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)

    weights = [constant("w0", 8, 3, 3, 3), constant("w1", 8, 8, 3, 3), constant("w2", 8, 5, 2, 2), constant("b2", 5)]
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["c0"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], name="relu0"),
        helper.make_node("Conv", ["r0", "w1"], ["c1"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c1", "r0"], ["a1"], name="residual"),
        helper.make_node("Relu", ["a1"], ["r1"], name="relu1"),
        helper.make_node("ConvTranspose", ["r1", "w2", "b2"], ["out"], name="double", strides=[2, 2]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 24])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 5, 32, 48])
    graph = helper.make_graph(nodes, "net", [image], [out], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def images() -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(1, 3, 16, 24)).astype(np.float32) for _ in range(4)]


def infer(model: onnx.ModelProto, image: NDArray[np.float32]) -> NDArray[np.float32]:
    core = ov.Core()
    network = core.read_model(io.BytesIO(model.SerializeToString()))
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled([image])[0]


def test_pixel_shuffle_gives_the_same_numbers(network: onnx.ModelProto, images: list[NDArray[np.float32]]) -> None:
    before = infer(network, images[0])
    pixel_shuffle(network)
    assert not [node for node in network.graph.node if node.op_type == "ConvTranspose"]
    np.testing.assert_allclose(infer(network, images[0]), before, atol=1e-5)


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_int8_stays_close_to_float(network: onnx.ModelProto, images: list[NDArray[np.float32]], plan: Plan) -> None:
    quantized = quantize(network, activation_scales(network, images), plan)
    wanted, got = infer(network, images[0]), infer(quantized, images[0])
    assert np.abs(got - wanted).mean() < 0.03 * np.abs(wanted).mean() + 0.02 * wanted.std()


def test_every_pair_is_symmetric_and_weights_are_per_channel(
    network: onnx.ModelProto, images: list[NDArray[np.float32]]
) -> None:
    quantized = quantize(network, activation_scales(network, images), Plan())
    constants = {t.name: numpy_helper.to_array(t) for t in quantized.graph.initializer}
    pairs = [node for node in quantized.graph.node if node.op_type == "DequantizeLinear"]
    assert all(not constants[node.input[2]].any() for node in pairs)
    weights = {node.input[0]: node for node in pairs if node.input[0] in constants}
    assert {name: constants[node.input[1]].size for name, node in weights.items()} == {"w0": 8, "w1": 8, "w2": 5}
    assert all(constants[name].dtype == np.int8 and np.abs(constants[name]).max() == WEIGHT_LEVELS for name in weights)
    axes = {name: next(a.i for a in node.attribute if a.name == "axis") for name, node in weights.items()}
    assert axes == {"w0": 0, "w1": 0, "w2": 1}


def test_the_shortcut_of_an_addition_shares_the_pair_of_the_next_convolution(
    network: onnx.ModelProto, images: list[NDArray[np.float32]]
) -> None:
    quantized = quantize(network, activation_scales(network, images), Plan())
    by_name = {node.name: node for node in quantized.graph.node}
    assert by_name["residual"].input[0] == "c1"
    assert by_name["residual"].input[1] == by_name["second"].input[0] == "r0_dequantized"


def test_the_float_network_is_left_as_it_was(network: onnx.ModelProto, images: list[NDArray[np.float32]]) -> None:
    before = network.SerializeToString()
    quantize(network, activation_scales(network, images), Plan(pixel_shuffle=True))
    assert network.SerializeToString() == before


def test_histograms_hold_every_value(network: onnx.ModelProto, images: list[NDArray[np.float32]]) -> None:
    histograms = collect(network, ["image", "r0"], images)
    assert histograms["image"][:-1].sum() == 4 * 3 * 16 * 24
    assert histograms["image"][-1] == pytest.approx(max(np.abs(i).max() for i in images))
    assert histograms["r0"].size == BINS + 1


def test_mse_clip_cuts_an_outlier_and_keeps_a_uniform_range() -> None:
    uniform = np.append(np.ones(BINS), 4.0)
    assert mse_clip(uniform) == pytest.approx(4.0, rel=0.02)
    spiked = np.zeros(BINS + 1)
    spiked[: BINS // 4] = 1e6
    spiked[BINS - 1], spiked[-1] = 1, 4.0
    assert mse_clip(spiked) < 1.5


def test_a_tensor_that_is_always_zero_has_a_scale() -> None:
    assert mse_clip(np.zeros(BINS + 1)) > 0
