"""Additions in INT8: which ones are changed, and how that changes the numbers."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from edge_inspect.edge.engines.openvino import compile_model
from edge_inspect.edge.engines.openvino_sums import Sums, fuses_sums, round_sums

CHANNELS, SIZE = 16, 24
STEP = 0.05


def constant(seed: int, *shape: int) -> ov.Node:
    return ops.constant(np.random.default_rng(seed).uniform(-0.2, 0.2, shape).astype(np.float32))


def convolution(x: ov.Node, seed: int) -> ov.Node:
    weights = quantization(constant(seed, CHANNELS, CHANNELS, 3, 3), 0.2 / 127)
    made = ops.convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    return ops.add(made, constant(seed + 1, 1, CHANNELS, 1, 1))


def quantization(x: ov.Node, step: float = STEP) -> ov.Node:
    low, high = np.float32(-128 * step), np.float32(127 * step)
    return ops.fake_quantize(x, low, high, low, high, 256)


def network(kind: str) -> ov.Model:
    """Return a network with one addition.

    The addition is in a `residual` block, or of a `relu` of a convolution and an upsampled map, or is read as `float`.
    Forms that no OpenVINO gives it so far: it is read by `two` quantizations, its convolution is `scaled`, or its sum
    is. The addition of a `pooled` convolution has no convolution to be added in.
    """
    image = ops.parameter([1, CHANNELS, SIZE, SIZE], np.float32)
    x = quantization(image, 0.03)
    if kind == "relu":
        small = ops.avg_pool(x, [2, 2], [0, 0], [0, 0], [2, 2], False, "floor")
        wanted = ops.constant(np.array([SIZE, SIZE], np.int64))
        axes = ops.constant(np.array([2, 3], np.int64))
        large = ops.interpolate(small, wanted, "linear_onnx", "sizes", axes=axes)
        total = ops.add(ops.relu(convolution(x, 1)), large)
    else:
        inside = quantization(ops.relu(convolution(x, 1)))
        made = convolution(inside, 3)
        if kind == "scaled":
            made = ops.multiply(made, np.float32(0.5))
        if kind == "pooled":
            made = ops.avg_pool(made, [1, 1], [1, 1], [1, 1], [3, 3], True, "floor")
        total = ops.relu(ops.add(made, x))
        if kind == "scaled sum":
            total = ops.multiply(total, np.float32(0.5))
    outputs = [convolution(quantization(total), 5)]
    if kind == "two":
        outputs.append(convolution(quantization(total, 0.02), 7))
    if kind == "float":
        outputs.append(ops.reduce_sum(total, np.array([1], np.int64)))
    return ov.Model([ops.result(output) for output in outputs], [image])


def quantizations(model: ov.Model) -> int:
    return sum(node.get_type_name() == "FakeQuantize" for node in model.get_ops())


@pytest.mark.parametrize(("kind", "more"), [("residual", 1), ("relu", 2), ("float", 0), ("pooled", 0)])
def test_summands_are_rounded_where_only_the_rounded_sum_is_read(kind: str, more: int) -> None:
    model = network(kind)
    before = quantizations(model)
    assert round_sums(model) == Sums(rounded=int(more > 0), missed=0)
    assert quantizations(model) == before + more


@pytest.mark.parametrize("kind", ["two", "scaled", "scaled sum"])
def test_sums_in_a_form_that_is_not_known_are_counted(kind: str) -> None:
    model = network(kind)
    before = quantizations(model)
    assert round_sums(model) == Sums(rounded=0, missed=1)
    assert quantizations(model) == before


@pytest.mark.skipif(not fuses_sums(), reason="this processor has no AMX, so the engine leaves additions as they are")
@pytest.mark.parametrize("kind", ["residual", "relu"])
def test_rounded_sums_give_nearly_the_same_numbers(kind: str) -> None:
    image = np.random.default_rng(0).normal(size=(1, CHANNELS, SIZE, SIZE)).astype(np.float32)
    model = network(kind)
    wanted = compile_model(network(kind))([image])[0]
    round_sums(model)
    got = compile_model(model)([image])[0]
    assert 0 < np.abs(got - wanted).max() < 0.15 * wanted.std()


@pytest.mark.skipif(not fuses_sums(), reason="this processor has no AMX, so the engine leaves additions as they are")
def test_openvino_then_adds_inside_of_the_convolution() -> None:
    def kernels_of_sums(model: ov.Model) -> int:
        nodes = [node.get_rt_info() for node in compile_model(model).get_runtime_model().get_ops()]
        return sum("Add_" in str(node["originalLayersNames"].astype(str)) for node in nodes if not _convolves(node))

    model = network("residual")
    assert kernels_of_sums(network("residual")) == 1
    round_sums(model)
    assert kernels_of_sums(model) == 0


def _convolves(node: ov.RTMap) -> bool:
    return bool(node["layerType"].astype(str) == "Convolution")
