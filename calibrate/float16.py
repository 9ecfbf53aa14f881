"""FP16 for engines with strong types (TensorRT 10 and later): the ONNX states the types, and no flag changes them.

Nodes with weights compute in float16; so do the nodes that follow them, as long as everything they read is float16. All
other nodes stay float32, behind a Cast: norms, reductions, divisions and exponentials, which are the normalisation
before a cosine, AAND's gates with their normalised memory, and DMDD's distances and attention. The largest float16 is
65504, so the sum of 256 squares of 16 overflows, and the smallest norm allowed, 1e-8, becomes 0. The network's input
and outputs are float32, as in every precision. The engine computes the cosines of the outputs in float32.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge_inspect.calibrate.int8.activations import Activation
from edge_inspect.calibrate.int8.quantize import CONVOLUTIONS, makers

EXACT = {"Relu", "MaxPool", "Concat", "Slice", "DepthToSpace"}
"""Operators whose result on float16 is float16 without rounding."""

FOLLOWING = EXACT | {"Add", "AveragePool", "Resize", "Tanh"}

LARGEST = float(np.finfo(np.float16).max)
HEADROOM = 4
"""Safety factor: calibration images do not contain the largest value that a line will produce."""

SPLITTER = np.float32(2**13 + 1)


def beyond_float16(activations: Mapping[str, Activation]) -> dict[str, float]:
    """Return the tensors whose largest value is not safe in float16, each with that value."""
    largest = {name: activation.histogram.largest for name, activation in activations.items()}
    return {name: value for name, value in largest.items() if value * HEADROOM > LARGEST}


def to_float16(model: ModelProto) -> ModelProto:
    """Return the network strongly typed (see the module's text); the float32 network is not changed.

    Raises:
        ValueError: A weight is too large for float16.
    """
    result = ModelProto()
    result.CopyFrom(model)
    typing = _Typing(result)
    for node in result.graph.node:
        typing.take(node)
    typing.finish()
    onnx.checker.check_model(result)
    return result


class _Typing:
    """Assigns a type to each node, in the order of the graph."""

    def __init__(self, model: ModelProto) -> None:
        self._graph = model.graph
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._outputs = {value.name for value in model.graph.output}
        self._made = makers(model)
        self._nodes: list[NodeProto] = []
        self._half: dict[str, str] = {}
        self._float: dict[str, str] = {}
        self._native: set[str] = set()

    def take(self, node: NodeProto) -> None:
        computed = [name for name in node.input if name and name not in self._constants]
        follows = node.op_type in FOLLOWING and self._native.issuperset(computed)
        half = follows or (node.op_type in CONVOLUTIONS and not self._compares(node))
        for i, name in enumerate(node.input):
            if name:
                node.input[i] = self._as_half(name) if half else self._as_float(name)
        self._nodes.append(node)
        for i, name in enumerate(node.output if half else ()):
            self._native.add(name)
            self._half[name] = node.output[i] = f"{name}_half" if name in self._outputs else name

    def finish(self) -> None:
        """Cast the outputs, and remove nodes whose results nothing reads any more."""
        for name in sorted(self._outputs & self._native):  # a set has another order in every process
            self._nodes.append(helper.make_node("Cast", [self._half[name]], [name], to=TensorProto.FLOAT))
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        used = {name for node in self._nodes for name in node.input}
        constants = [tensor for name, tensor in self._constants.items() if name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(constants)

    def _compares(self, node: NodeProto) -> bool:
        """Return whether a convolution computes cosines with AAND's memory: its input was divided by its norm."""
        return node.input[0] in self._made and self._made[node.input[0]].op_type == "Div"

    def _as_half(self, name: str) -> str:
        constant = self._constants.get(name)
        if constant is not None and constant.data_type != TensorProto.FLOAT:
            return name
        if name not in self._half:
            self._half[name] = f"{name}_half"
            if constant is None:
                self._nodes.append(helper.make_node("Cast", [name], [self._half[name]], to=TensorProto.FLOAT16))
            else:
                values = numpy_helper.to_array(constant)
                if np.abs(values).max() > LARGEST:
                    raise ValueError(f"{name} has values beyond float16")
                halves = numpy_helper.from_array(values.astype(np.float16), self._half[name])
                self._constants[self._half[name]] = halves
        return self._half[name]

    def _as_float(self, name: str) -> str:
        if name not in self._native:
            return name
        if name not in self._float:
            self._float[name] = f"{name}_float"
            self._nodes.append(helper.make_node("Cast", [self._half[name]], [self._float[name]], to=TensorProto.FLOAT))
        return self._float[name]


def rounded(typed: ModelProto) -> ModelProto:
    """Return a float32 network that computes what a network of `to_float16` gives on float16 hardware.

    OpenVINO on a processor reads float16 and computes in float32, so it does not show what a float16 engine gives. Here
    each result is rounded to the 11 bits of a float16 (sums inside a convolution stay float32, as on a GPU):

        t = c x,  round(x) = t - (t - x),  c = 2^13 + 1                  (Veltkamp's splitting; Dekker 1971)

    The range is not limited here; `beyond_float16` checks it.
    """
    result = ModelProto()
    result.CopyFrom(typed)
    graph = result.graph
    halves = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    for tensor in graph.initializer:
        if tensor.name in halves:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    graph.initializer.append(numpy_helper.from_array(SPLITTER, "splitter"))
    nodes: list[NodeProto] = []
    for node in graph.node:
        cast = node.op_type == "Cast" and node.attribute[0].i
        half = cast == TensorProto.FLOAT16 or (not cast and not halves.isdisjoint(node.input))
        if half:
            halves.update(node.output)
        if cast:
            node.CopyFrom(helper.make_node("Identity", node.input, node.output))
        nodes.append(node)
        if half and node.op_type not in EXACT:
            nodes += _rounding(node)
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(result)
    return result


def _rounding(node: NodeProto) -> list[NodeProto]:
    """Return nodes that round a node's result to float16; they take over the name of its one output."""
    name = node.output[0]
    exact, far, rest = f"{name}_exact", f"{name}_far", f"{name}_rest"
    node.output[0] = exact
    return [
        helper.make_node("Mul", [exact, "splitter"], [far]),
        helper.make_node("Sub", [far, exact], [rest]),
        helper.make_node("Sub", [far, rest], [name]),
    ]
