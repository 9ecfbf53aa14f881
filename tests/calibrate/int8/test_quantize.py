from __future__ import annotations

import io
from collections.abc import Callable, Collection

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_inspect.calibrate.int8.activations import collect
from edge_inspect.calibrate.int8.clipping import METHODS, scale
from edge_inspect.calibrate.int8.quantize import (
    CONVOLUTIONS,
    WEIGHT_LEVELS,
    Int8Plan,
    layers,
    of_distances,
    pixel_shuffle,
    quantizable,
    quantize,
)
from edge_inspect.edge.engines.openvino import CORE, compile_model

PLANS = [
    Int8Plan(),
    Int8Plan(first=False),
    Int8Plan(shortcuts=False),
    Int8Plan(deconvolutions=False),
    Int8Plan(pixel_shuffle=True),
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


def calibrated(
    model: onnx.ModelProto,
    images: list[NDArray[np.float32]],
    plan: Int8Plan,
    method: str = "mse",
    released: Collection[str] = frozenset(),
) -> onnx.ModelProto:
    """The network in INT8, by what the images say."""
    activations = collect(model, quantizable(model), images)
    scales = {name: scale(seen.histogram, method) for name, seen in activations.items()}
    return quantize(model, scales, {name: seen.means for name, seen in activations.items()}, plan, released)


def infer(model: onnx.ModelProto, image: NDArray[np.float32]) -> NDArray[np.float32]:
    compiled = compile_model(CORE.read_model(io.BytesIO(model.SerializeToString())))
    return compiled([image])[0]


def test_pixel_shuffle_gives_the_same_numbers(network: onnx.ModelProto, images: list[NDArray[np.float32]]) -> None:
    before = infer(network, images[0])
    pixel_shuffle(network)
    assert not [node for node in network.graph.node if node.op_type == "ConvTranspose"]
    np.testing.assert_allclose(infer(network, images[0]), before, atol=1e-5)


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_int8_stays_close_to_float(network: onnx.ModelProto, images: list[NDArray[np.float32]], plan: Int8Plan) -> None:
    quantized = calibrated(network, images, plan)
    wanted, got = infer(network, images[0]), infer(quantized, images[0])
    assert np.abs(got - wanted).mean() < 0.03 * np.abs(wanted).mean() + 0.02 * wanted.std()


def test_every_pair_is_symmetric_and_weights_are_per_channel(
    network: onnx.ModelProto, images: list[NDArray[np.float32]]
) -> None:
    quantized = calibrated(network, images, Int8Plan())
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
    quantized = calibrated(network, images, Int8Plan())
    by_name = {node.name: node for node in quantized.graph.node}
    assert by_name["residual"].input[0] == "c1"
    assert by_name["residual"].input[1] == by_name["second"].input[0] == "r0_dequantized"


def test_what_is_compared_is_rounded_and_keeps_its_name(
    network: onnx.ModelProto, images: list[NDArray[np.float32]]
) -> None:
    network.graph.output.append(helper.make_tensor_value_info("r1", TensorProto.FLOAT, [1, 8, 16, 24]))
    activations = collect(network, quantizable(network), images)
    steps = {name: scale(seen.histogram, "max") for name, seen in activations.items()}
    quantized = calibrated(network, images, Int8Plan(), "max")
    compiled = compile_model(CORE.read_model(io.BytesIO(quantized.SerializeToString())))
    for name, values in zip(("out", "r1"), compiled([images[0]]).values(), strict=True):
        np.testing.assert_allclose(values / steps[name], np.rint(values / steps[name]), atol=1e-3)
    left = calibrated(network, images, Int8Plan(features=False), "max")
    assert not [node for node in left.graph.node if node.input[0] == "out"]


@pytest.mark.parametrize(("system", "count"), [("rd", 6), ("aand", 6), ("dmdd", 9)])
def test_every_feature_that_a_cosine_reads_is_compared(
    exported: Callable[[str], onnx.ModelProto], system: str, count: int
) -> None:
    titles = layers(exported(system), Int8Plan()).values()
    assert len([title for title in titles if title.startswith("compared feature")]) == count


def test_the_float_network_is_left_as_it_was(network: onnx.ModelProto, images: list[NDArray[np.float32]]) -> None:
    before = network.SerializeToString()
    calibrated(network, images, Int8Plan(pixel_shuffle=True))
    assert network.SerializeToString() == before


@pytest.mark.parametrize("method", METHODS)
def test_every_way_to_clip_stays_close_to_float(
    network: onnx.ModelProto, images: list[NDArray[np.float32]], method: str
) -> None:
    quantized = calibrated(network, images, Int8Plan(), method)
    wanted, got = infer(network, images[0]), infer(quantized, images[0])
    assert np.abs(got - wanted).mean() < 0.05 * wanted.std()


def test_means_are_of_each_channel(network: onnx.ModelProto, images: list[NDArray[np.float32]]) -> None:
    seen = collect(network, ["image", "out"], images)
    np.testing.assert_allclose(seen["image"].means, np.mean(images, axis=(0, 1, 3, 4)), atol=1e-6)
    outputs = [infer(network, image) for image in images]
    np.testing.assert_allclose(seen["out"].means, np.mean(outputs, axis=(0, 1, 3, 4)), atol=1e-5)


def test_histograms_hold_every_value(network: onnx.ModelProto, images: list[NDArray[np.float32]]) -> None:
    histograms = {name: seen.histogram for name, seen in collect(network, ["image", "r0", "out"], images).items()}
    assert histograms["image"].counts.sum() == 4 * 3 * 16 * 24
    assert histograms["image"].largest == pytest.approx(max(np.abs(i).max() for i in images))
    assert histograms["out"].largest == pytest.approx(max(np.abs(infer(network, i)).max() for i in images), rel=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transposed", [False, True])
def test_rounded_weights_move_no_channels_mean(transposed: bool, bias: bool) -> None:
    """Of a picture whose channels are even, the mean is all there is."""
    rng = np.random.default_rng(3)
    values = [rng.normal(0, 0.3, (6, 6, 2, 2)), rng.normal(size=6)]
    weights = [numpy_helper.from_array(v.astype(np.float32), n) for v, n in zip(values, "wb", strict=True)]
    kind = "ConvTranspose" if transposed else "Conv"
    inputs = ["image", "w", "b"] if bias else ["image", "w"]
    node = helper.make_node(kind, inputs, ["out"], name="only", strides=[2, 2])
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 6, None, None]) for name in ("image", "out")]
    graph = helper.make_graph([node], "net", sides[:1], sides[1:], weights[: len(inputs) - 1])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    picture = np.broadcast_to(rng.integers(-127, 128, (1, 6, 1, 1)), (1, 6, 8, 8)).astype(np.float32)
    scales, means = {"image": 1.0}, {"image": picture[0, :, 0, 0].astype(np.float64)}
    wanted = infer(network, picture).mean(axis=(2, 3))
    for plan in [Int8Plan(), Int8Plan(pixel_shuffle=True)]:
        got, uncorrected = (infer(quantize(network, scales, m, plan), picture).mean(axis=(2, 3))
                            for m in (means, {"image": np.zeros(6)}))  # fmt: skip
        np.testing.assert_allclose(got, wanted, atol=1e-3)
        assert np.abs(uncorrected - wanted).max() > 0.1


def test_a_grouped_convolution_sees_the_means_of_its_own_channels(images: list[NDArray[np.float32]]) -> None:
    weights = numpy_helper.from_array(np.random.default_rng(3).normal(size=(6, 1, 3, 3)).astype(np.float32), "w")
    node = helper.make_node("Conv", ["image", "w"], ["out"], name="only", group=3)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 24])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 6, 14, 22])
    graph = helper.make_graph([node], "net", [image], [out], [weights])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    shifted = [image + np.array([5, 10, 40], np.float32).reshape(1, 3, 1, 1) for image in images]
    quantized = calibrated(network, shifted, Int8Plan(), "max")
    moved = [infer(quantized, picture) - infer(network, picture) for picture in shifted]
    assert np.abs(np.mean(moved, axis=(0, 1, 3, 4))).max() < 0.02


def test_a_released_layer_stays_float_and_the_others_do_not(
    network: onnx.ModelProto, images: list[NDArray[np.float32]]
) -> None:
    every = layers(network, Int8Plan())
    assert every == {"first": "convolution w0", "second": "convolution w1", "double": "convolution w2"}
    quantized = calibrated(network, images, Int8Plan(), released={"second", "double"})
    by_name = {node.name: node for node in quantized.graph.node}
    assert list(by_name["second"].input) == ["r0", "w1"]
    assert by_name["double"].input[0] == "r1"
    assert by_name["first"].input[0] == "image_dequantized"
    assert by_name["residual"].input[1] == "r0"
    only = {node.name: node for node in calibrated(network, images, Int8Plan(), released={"double"}).graph.node}
    assert (only["residual"].input[1], only["double"].input[0]) == ("r0_dequantized", "r1")
    untouched = calibrated(network, images, Int8Plan(), released=every)
    assert [node.op_type for node in untouched.graph.node] == [node.op_type for node in network.graph.node]


def test_a_released_layer_is_found_behind_a_pixel_shuffle(
    network: onnx.ModelProto, images: list[NDArray[np.float32]]
) -> None:
    plan = Int8Plan(pixel_shuffle=True)
    quantized = calibrated(network, images, plan, released={"double"})
    names = {tensor.name for tensor in quantized.graph.initializer if tensor.data_type == TensorProto.INT8}
    assert {"w0", "w1"} <= names and "w2" not in names
    assert "w2" in {
        tensor.name
        for tensor in calibrated(network, images, plan).graph.initializer
        if tensor.data_type == TensorProto.INT8
    }


def test_what_reads_distances_alone_stays_float_where_a_plan_says_so(
    exported: Callable[[str], onnx.ModelProto],
) -> None:
    """DMDD's head."""
    network = exported("dmdd")
    weighted = {str(node.input[1]) for node in network.graph.node if node.op_type in CONVOLUTIONS}
    head = {name for name in weighted if name.startswith("model.head.")}
    assert len(head) == 10
    picture = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    for plan, wanted in ((Int8Plan(head=False), head), (Int8Plan(), set())):
        quantized = calibrated(network, [picture], plan)
        floats = {str(node.input[1]) for node in quantized.graph.node if node.op_type in CONVOLUTIONS} & weighted
        assert floats == wanted
    behind = {node.input[0] for node in network.graph.node if node.op_type in CONVOLUTIONS and node.input[1] in head}
    assert behind <= set(of_distances(network)) < set(quantizable(network))
    assert of_distances(exported("rd")) == []


def test_features_behind_a_gate_that_compares_become_int8(exported: Callable[[str], onnx.ModelProto]) -> None:
    """AAND's, and the gate's own convolutions with a memory."""
    network = exported("aand")
    convolutions = {node.name for node in network.graph.node if node.op_type in CONVOLUTIONS}
    assert convolutions <= layers(network, Int8Plan()).keys()


def test_a_max_pool_works_on_integers_and_gives_the_same_numbers(images: list[NDArray[np.float32]]) -> None:
    weights = [
        numpy_helper.from_array(np.random.default_rng(i).normal(0, 0.3, shape).astype(np.float32), f"w{i}")
        for i, shape in enumerate([(8, 3, 3, 3), (8, 8, 3, 3), (8, 8, 3, 3)])
    ]
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "w0"], ["c0"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], name="relu0"),
        helper.make_node("MaxPool", ["r0"], ["p0"], name="pool", **pool),
        helper.make_node("Conv", ["p0", "w1"], ["c1"], name="second", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["p0", "w2"], ["c2"], name="third", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c1", "c2"], ["out"], name="sum"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 24])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 8, 8, 12])
    graph = helper.make_graph(nodes, "net", [image], [out], weights)
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    before = calibrated(network, images, Int8Plan(), released={"sum"})
    by_name = {node.name: node for node in before.graph.node}
    assert by_name["pool"].input[0] == "r0_dequantized"
    assert [by_name[name].input[0] for name in ("second", "third")] == ["p0", "p0"]
    after = onnx.ModelProto()
    after.CopyFrom(before)
    moved = {node.name: node for node in after.graph.node}
    moved["pool"].input[0], moved["r0_quantize"].input[0] = "r0", "p0"
    moved["second"].input[0] = moved["third"].input[0] = "r0_dequantized"
    order = [n for n in after.graph.node if n.name not in ("r0_quantize", "r0_dequantize")]
    place = [n.name for n in order].index("pool") + 1
    order[place:place] = [moved["r0_quantize"], moved["r0_dequantize"]]
    ordered = [onnx.NodeProto.FromString(n.SerializeToString()) for n in order]
    del after.graph.node[:]
    after.graph.node.extend(ordered)
    for picture in images:
        np.testing.assert_array_equal(infer(before, picture), infer(after, picture))
