"""FP16 as engines with strong types want it (TensorRT 10 and later): the types stand in the ONNX, no flag changes them.

What has weights computes in float16, and what follows it while all it reads is float16. All else stays float32, behind
a Cast: norms, reductions, divisions and exponentials, that is the normalisation before a cosine, AAND's gates with
their normalised memory, and DMDD's distances and attention. A float16 ends at 65504, so the sum of 256 squares of 16
overflows, and the smallest norm allowed, 1e-8, is 0. The network's input and outputs are float32 as in every
precision; cosines of the outputs are the engine's, in float32.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge_inspect.calibrate.activations import Activation
from edge_inspect.calibrate.quantize import CONVOLUTIONS, makers

EXACT = {"Relu", "MaxPool", "Concat", "Slice", "DepthToSpace"}
"""Give float16 of float16 without rounding."""

FOLLOWING = EXACT | {"Add", "AveragePool", "Resize", "Tanh"}

LARGEST = float(np.finfo(np.float16).max)
HEADROOM = 4
"""Calibration images do not hold the largest value that a line will see."""

SPLITTER = np.float32(2**13 + 1)


def beyond_float16(activations: Mapping[str, Activation]) -> dict[str, float]:
    """Return the tensors whose largest value is no safe float16, with that value."""
    largest = {name: activation.histogram.largest for name, activation in activations.items()}
    return {name: value for name, value in largest.items() if value * HEADROOM > LARGEST}


def to_float16(model: ModelProto) -> ModelProto:
    """Return the network strongly typed, see the module's text; the float32 one is left as it was.

    Raises:
        ValueError: A weight is beyond float16.
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
    """Gives each node its type, in the order of the graph."""

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
        """Cast the outputs, and take out what nothing reads any more."""
        for name in self._outputs & self._native:
            self._nodes.append(helper.make_node("Cast", [self._half[name]], [name], to=TensorProto.FLOAT))
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        used = {name for node in self._nodes for name in node.input}
        constants = [tensor for name, tensor in self._constants.items() if name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(constants)

    def _compares(self, node: NodeProto) -> bool:
        """Return whether a convolution takes cosines with AAND's memory: what it reads was divided by its norm."""
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
    """Return what a network of `to_float16` computes where there is float16 arithmetic, as a float32 network.

    OpenVINO on a processor reads float16 and computes in float32, so it does not show what an engine in float16 gives.
    Here each result is rounded to the 11 bits of a float16 (sums inside a convolution stay float32, as on a GPU):

        t = c x,  round(x) = t - (t - x),  c = 2^13 + 1                  (Veltkamp's splitting; Dekker 1971)

    Range is not limited: `beyond_float16` looks at that.
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
    """Return the nodes that round to float16 what a node gives, and take the place of its one output."""
    name = node.output[0]
    exact, far, rest = f"{name}_exact", f"{name}_far", f"{name}_rest"
    node.output[0] = exact
    return [
        helper.make_node("Mul", [exact, "splitter"], [far]),
        helper.make_node("Sub", [far, exact], [rest]),
        helper.make_node("Sub", [far, rest], [name]),
    ]
