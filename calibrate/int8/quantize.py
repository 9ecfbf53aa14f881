"""Explicit INT8: QuantizeLinear and DequantizeLinear pairs in the ONNX, the form that TensorRT and OpenVINO share.

Activations have one symmetric scale for each tensor, weights one for each channel, rounded to 7 bits here. Each
convolution gets pairs on its input and its weights, and a bias that corrects how the rounding of its weights changes
the mean of each channel (Nagel et al., Data-Free Quantization, ICCV 2019). Where engines differ:

- Every consumer of a tensor with a pair reads the rounded values, except convolutions left in float. So the shortcut of
  a residual addition is INT8; otherwise TensorRT does not run convolution, addition and ReLU as one kernel
  (NVIDIA/TensorRT issue 1992). The side that ends in a convolution needs no pair for that. OpenVINO fuses the three
  only if it has one, so its engine adds it (edge/engines/openvino_sums.py).
- Features that a cosine compares are INT8 too in the form that is tried first: OpenVINO reads bytes faster, and the
  noise of maps hardly grows. Norms and cosines are computed in float32 in every form.
- Transposed convolutions in INT8 are slower than in float on TensorRT, and wrong in some releases (issue 1699);
  OpenVINO has fast kernels for few shapes. They are tried in INT8, in float, and as 1x1 convolution and pixel shuffle.
- The first convolution sees three channels of wide range and is among the most harmful. It is INT8 by default because
  it has the largest maps, and is among the first to be left in float if the budget breaks.
- A max pool before a convolution works on integers: its pair stands before it, so whatever else reads the pool (the
  first block's shortcut) is INT8 in every form.
- AAND's gates are 1x1 convolutions of unit vectors with a memory, and INT8 like any other convolution.
- DMDD's segmentation head reads only distances; it is tried in INT8 and in float. Its steps come from calibration
  images with flaws drawn on them: with good images alone, INT8 would clip the distances that only defects have.
- The best form is measured (calibrate/int8/trials.py) on OpenVINO. TensorRT runs the same form, untried.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

CONVOLUTIONS = ("Conv", "ConvTranspose")

WEIGHT_LEVELS = 63
"""Weights have 7 bits: -63 to 63.
A processor without VNNI (AVX2, early AVX-512) adds two products of an 8-bit activation and a weight in 16 bits; with
8-bit weights that sum saturates: 255 * 127 * 2 > 32767. On such a processor, with RD4AD on ResNet-18 (BSData), 8 bits
cost half of the image AUROC in OpenVINO's kernels, and 7 bits cost nothing. In exact arithmetic, the missing bit
changes a map value by 0.002. A bundle has to be right on every box.
"""


@dataclass(frozen=True)
class Int8Plan:
    """The places of a network that become INT8.

    Attributes:
        features: Also features that a cosine compares, if nothing else reads them in INT8.
        first: Also the first convolution, which sees the picture.
        shortcuts: Also strided 1x1 convolutions, which project a residual block's shortcut. OpenVINO 2026.4 on AVX2
            computes wrong numbers if such a convolution and the block's own share an INT8 input (seen: RD4AD on MTD).
        deconvolutions: Also transposed convolutions.
        head: Also nodes that read only distances.
        pixel_shuffle: Transposed convolutions are first written as 1x1 convolution and depth-to-space.
    """

    features: bool = True
    first: bool = True
    shortcuts: bool = True
    deconvolutions: bool = True
    head: bool = True
    pixel_shuffle: bool = False

    @property
    def places(self) -> int:
        """Number of kinds of places that are INT8."""
        return sum((self.features, self.first, self.shortcuts, self.deconvolutions, self.head))

    def __str__(self) -> str:
        words = [
            "compared features INT8" if self.features else "compared features float",
            "first convolution INT8" if self.first else "first convolution float",
            "projected shortcuts INT8" if self.shortcuts else "projected shortcuts float",
            ("transposed convolutions as 1x1 and pixel shuffle" if self.pixel_shuffle else "transposed convolutions")
            + (" INT8" if self.deconvolutions else " float"),
        ]
        if not self.head:
            words.append("nodes that read only distances float")
        return ", ".join(words)


def quantizable(model: ModelProto) -> list[str]:
    """Return the tensors that may become INT8: inputs of convolutions, projected shortcuts, compared features."""
    constants = {tensor.name for tensor in model.graph.initializer}
    made = makers(model)
    tensors = [node.input[0] for node in model.graph.node if _has_weights(node, constants)]
    tensors += [node.input[1] for node in model.graph.node if _ends_projected(node, made)]
    return list(dict.fromkeys([*tensors, *_compared(model, made)]))


def of_distances(model: ModelProto) -> list[str]:
    """Return those tensors of `quantizable` that only say how far apart features are: those of DMDD's head."""
    features = _features(model, makers(model))
    return [name for name in quantizable(model) if name not in features]


def layers(model: ModelProto, plan: Int8Plan) -> dict[str, str]:
    """Return the nodes and compared features that `quantize` makes INT8 by a plan, each with a name for a person."""
    chosen = _chosen(model, plan, frozenset())
    titles = {node.name: _title(node) for node in model.graph.node if node.name in chosen}
    compared = _compared(model, makers(model))
    return titles | {name: f"compared feature {name}" for name in compared if name in chosen}


def quantize(
    model: ModelProto,
    scales: Mapping[str, float],
    means: Mapping[str, NDArray[np.float64]],
    plan: Int8Plan,
    released: Collection[str] = frozenset(),
) -> ModelProto:
    """Return the network with Q/DQ pairs at the places that `plan` names.

    Args:
        model: The float32 network.
        scales: INT8 step of each tensor of `quantizable`.
        means: Mean of each channel of these tensors.
        plan: Places that become INT8.
        released: Layers that stay in float nevertheless, named as in `layers`.
    """
    result = ModelProto()
    result.CopyFrom(model)
    chosen = _chosen(model, plan, released)
    if plan.pixel_shuffle:
        pixel_shuffle(result)
    graph = _Rewriter(result, scales)
    for node in result.graph.node:
        if node.name.removesuffix(_SHUFFLED) not in chosen:
            if node.op_type in CONVOLUTIONS:
                graph.leave_float(node)
        elif node.op_type in CONVOLUTIONS:
            graph.quantize_weights(node, means[node.input[0]])
            graph.quantize(node.input[0])
        else:
            # Both sides end in a convolution: the other side stays in float so that it can be fused.
            graph.quantize(node.input[1])
    for name in _compared(model, makers(model)):
        if name in chosen:
            graph.quantize(name)
    graph.finish()
    onnx.checker.check_model(result)
    return result


def _chosen(model: ModelProto, plan: Int8Plan, released: Collection[str]) -> set[str]:
    """Return the names of the nodes and compared features that become INT8."""
    image = model.graph.input[0].name
    constants = {tensor.name for tensor in model.graph.initializer}
    made = makers(model)
    features = _features(model, made)
    chosen = set(_compared(model, made)) if plan.features else set()
    for node in model.graph.node:
        if not plan.head and node.input[0] not in features:
            continue
        wanted = _ends_projected(node, made) or (
            _has_weights(node, constants)
            and (plan.first or node.input[0] != image)
            and (plan.shortcuts or not _projects(node))
            and (plan.deconvolutions or node.op_type != "ConvTranspose")
        )
        if wanted:
            chosen.add(node.name)
    return chosen - set(released)


def makers(model: ModelProto) -> dict[str, NodeProto]:
    """Return the node that computes each tensor."""
    return {output: node for node in model.graph.node for output in node.output}


def _features(model: ModelProto, made: Mapping[str, NodeProto]) -> set[str]:
    """Return the tensors that a path from the picture reaches without a cosine; the rest are made from distances."""
    reached = {model.graph.input[0].name}
    for node in model.graph.node:
        if reached.intersection(node.input) and not _is_cosine(node, made):
            reached.update(node.output)
    return reached


def _is_cosine(node: NodeProto, made: Mapping[str, NodeProto]) -> bool:
    """Return whether a node divides a sum of products by the norms of the factors."""
    total = made.get(node.input[0]) if node.op_type == "Div" else None
    if total is None or total.op_type != "ReduceSum":
        return False
    return total.input[0] in made and made[total.input[0]].op_type == "Mul"


def _title(node: NodeProto) -> str:
    """Return a convolution's name from its weights, as in the checkpoint; an addition's from its output."""
    if node.op_type not in CONVOLUTIONS:
        return f"residual addition {node.output[0]}"
    name = str(node.input[1])
    return name.removeprefix("model.").removesuffix(".weight") if name.startswith("model.") else f"convolution {name}"


def _ends_projected(node: NodeProto, made: Mapping[str, NodeProto]) -> bool:
    """Return whether an addition ends a residual block whose shortcut, its second side, is a convolution too."""
    return node.op_type == "Add" and all(name in made and made[name].op_type in CONVOLUTIONS for name in node.input)


def _has_weights(node: NodeProto, constants: Collection[str]) -> bool:
    return node.op_type in CONVOLUTIONS and node.input[1] in constants


def _compared(model: ModelProto, made: Mapping[str, NodeProto]) -> list[str]:
    """Return the features that a cosine reads: in the graph, or in the engine if the network has several outputs."""
    cosines = [node for node in model.graph.node if _is_cosine(node, made)]
    inside = [name for node in cosines for name in made[made[node.input[0]].input[0]].input]
    outputs = [value.name for value in model.graph.output]
    return list(dict.fromkeys([*inside, *(outputs if len(outputs) > 1 else [])]))


def _projects(node: NodeProto) -> bool:
    """Return whether a convolution is a strided 1x1 one."""
    sizes = {attribute.name: list(attribute.ints) for attribute in node.attribute}
    return sizes.get("kernel_shape") == [1, 1] and max(sizes.get("strides", [1])) > 1


def _pixels(node: NodeProto) -> int:
    """Return how many output pixels a transposed convolution computes for each input pixel; they share the kernel."""
    strides = (list(attribute.ints) for attribute in node.attribute if attribute.name == "strides")
    return math.prod(next(strides, [1]))


_SHUFFLED = "_as_1x1"


def pixel_shuffle(model: ModelProto) -> None:
    """Rewrite each 2x2 stride-2 transposed convolution as a 1x1 convolution to 4 C channels and a depth-to-space.

    The numbers are the same: out(2y + i, 2x + j, c) = sum_k in(y, x, k) W(k, c, i, j).
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "ConvTranspose":
            nodes.append(node)
            continue
        kernel = numpy_helper.to_array(weights[node.input[1]])
        inputs, channels = kernel.shape[:2]
        # Depth-to-space in CRD order reads channel c * 4 + i * 2 + j.
        flat = kernel.transpose(1, 2, 3, 0).reshape(channels * 4, inputs, 1, 1)
        weights[node.input[1]].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(flat), node.input[1]))
        if len(node.input) > 2:
            bias = np.repeat(numpy_helper.to_array(weights[node.input[2]]), 4)
            weights[node.input[2]].CopyFrom(numpy_helper.from_array(bias, node.input[2]))
        deep = node.output[0] + "_deep"
        convolution = helper.make_node("Conv", node.input, [deep], name=node.name + _SHUFFLED, kernel_shape=[1, 1])
        shuffle = helper.make_node(
            "DepthToSpace", [deep], node.output, name=node.name + "_shuffle", blocksize=2, mode="CRD"
        )
        nodes += [convolution, shuffle]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


class _Rewriter:
    """Puts Q/DQ pairs into a graph; all but convolutions left in float then read the rounded tensor."""

    def __init__(self, model: ModelProto, scales: Mapping[str, float]) -> None:
        self._graph = model.graph
        self._scales = scales
        self._pools = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "MaxPool"}
        self._pairs: dict[str, tuple[NodeProto, NodeProto]] = {}
        self._weights: list[NodeProto] = []
        self._float: set[str] = set()
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}

    def leave_float(self, node: NodeProto) -> None:
        """Let a convolution read values that are not rounded."""
        self._float.add(node.name)

    def quantize(self, name: str) -> None:
        """Round a tensor.

        The output of a max pool is rounded before the pool: the largest of the rounded values is the rounded largest
        value, and the pool then reads a quarter of the bytes.
        """
        step = self._scales[name]
        name = self._pools.get(name, name)
        if name in self._pairs:
            return
        scale = self._constant(f"{name}_scale", np.float32(step))
        zero = self._constant(f"{name}_zero", np.int8(0))
        integers, floats = f"{name}_int8", f"{name}_dequantized"
        self._pairs[name] = (
            helper.make_node("QuantizeLinear", [name, scale, zero], [integers], name=f"{name}_quantize"),
            helper.make_node("DequantizeLinear", [integers, scale, zero], [floats], name=f"{name}_dequantize"),
        )

    def quantize_weights(self, node: NodeProto, means: NDArray[np.float64]) -> None:
        """Make the weights integers; `means` are the means of the channels of the node's input."""
        axis = 1 if node.op_type == "ConvTranspose" else 0
        name = node.input[1]
        weights = numpy_helper.to_array(self.weights[name])
        others = tuple(i for i in range(weights.ndim) if i != axis)
        scales = np.maximum(np.abs(weights).max(axis=others), 1e-12).astype(np.float32) / WEIGHT_LEVELS
        shape = [-1 if i == axis else 1 for i in range(weights.ndim)]
        integers = np.clip(np.rint(weights / scales.reshape(shape)), -WEIGHT_LEVELS, WEIGHT_LEVELS).astype(np.int8)
        self.weights[name].CopyFrom(numpy_helper.from_array(integers, name))
        scale = self._constant(f"{name}_scale", scales)
        zero = self._constant(f"{name}_zero", np.zeros(scales.shape, np.int8))
        floats = f"{name}_dequantized"
        self._weights.append(
            helper.make_node("DequantizeLinear", [name, scale, zero], [floats], name=f"{name}_dequantize", axis=axis)
        )
        node.input[1] = floats
        lost = (weights - integers * scales.reshape(shape)).sum(axis=tuple(range(2, weights.ndim)))
        if axis == 1:
            self._add_to_bias(node, means @ lost / _pixels(node))
        else:
            groups = means.reshape(-1, lost.shape[1])
            self._add_to_bias(node, (lost * groups.repeat(len(lost) // len(groups), axis=0)).sum(axis=1))

    def _add_to_bias(self, node: NodeProto, values: NDArray[np.float64]) -> None:
        if len(node.input) > 2:
            bias = self.weights[node.input[2]]
            sums = numpy_helper.to_array(bias) + values
            bias.CopyFrom(numpy_helper.from_array(sums.astype(np.float32), node.input[2]))
        else:
            node.input.append(self._constant(f"{node.name}_bias", values.astype(np.float32)))

    def finish(self) -> None:
        """Connect readers to the rounded tensors, and put each pair behind the node that computes its tensor."""
        for node in self._graph.node:
            if node.name not in self._float:
                node.input[:] = [f"{name}_dequantized" if name in self._pairs else name for name in node.input]
        ordered = list(self._weights)
        for name in (value.name for value in self._graph.input):
            ordered += self._pairs.get(name, ())
        for node in self._graph.node:
            ordered += [node, *(new for name in node.output for new in self._pairs.get(name, ()))]
        # An output of the network keeps its name.
        names: dict[str, str] = {}
        for name in self._pairs.keys() & {value.name for value in self._graph.output}:
            names |= {name: f"{name}_exact", f"{name}_dequantized": name}
        for node in ordered:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
        copies = [NodeProto.FromString(node.SerializeToString()) for node in ordered]
        del self._graph.node[:]
        self._graph.node.extend(copies)

    def _constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name
