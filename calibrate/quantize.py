"""Explicit INT8: QuantizeLinear and DequantizeLinear pairs in the ONNX, the form TensorRT and OpenVINO share.

Activations have one symmetric scale a tensor, weights one a channel, rounded to 7 bits here. Each convolution gets
pairs on its input and its weights, and a bias that makes up for what the rounding of its weights does to the mean of
each channel (Nagel et al., Data-Free Quantization, ICCV 2019). Where engines differ:

- Residual additions: the pair goes on the shortcut's side: with it, TensorRT runs convolution, addition and ReLU as one
  INT8 kernel (NVIDIA/TensorRT issue 1992); the side that ends in a convolution needs none. OpenVINO fuses either way
  and may be faster without it.
- Transposed convolutions: slower in INT8 than in float on TensorRT, and wrong in some releases (issue 1699); OpenVINO
  has fast kernels for few shapes. They are tried in INT8, in float, and as 1x1 convolution and pixel shuffle.
- The first convolution sees three channels of wide range and is among the most harmful; in INT8 by default, for it has
  the largest maps, and among the first to be left float where the budget breaks.
- A max pool before a convolution works on integers: its pair stands before it, so what else reads it (the first block's
  shortcut) is INT8 in every form.
- Norms, divisions and cosines are in no plan: they stay float32, and so do AAND's gates (`has_weights`).
- What reads distances alone, DMDD's segmentation head, is tried in INT8 and in float. Its steps come from calibration
  images with flaws drawn on them: of good ones alone, INT8 would cut off the distances that only defects have.

Which form is best is measured (calibrate/trials.py), on OpenVINO: on TensorRT the same form runs, untried.
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

A processor without VNNI (AVX2, early AVX-512) adds two products of an 8-bit activation and a weight in 16 bits, and
with 8-bit weights that sum saturates: 255 * 127 * 2 > 32767. Measured on such a processor with RD4AD on ResNet-18
(BSData), 8 bits cost half of the image AUROC in OpenVINO's kernels, 7 bits nothing; in exact arithmetic the seventh
bit's loss is a difference of 0.002 in a map value. A bundle has to be right on every box.
"""


@dataclass(frozen=True)
class Plan:
    """Which places of a network become INT8.

    Attributes:
        residuals: Pairs on the shortcut's side of additions.
        first: The first convolution too, which sees the picture.
        shortcuts: Strided 1x1 convolutions too, which project a residual block's shortcut. OpenVINO 2026.4 on AVX2
            gives wrong numbers where such a convolution and the block's own share an INT8 input (seen: RD4AD on MTD).
        deconvolutions: Transposed convolutions too.
        head: What reads distances alone too.
        pixel_shuffle: Transposed convolutions are written as 1x1 convolution and depth-to-space first.
    """

    residuals: bool = True
    first: bool = True
    shortcuts: bool = True
    deconvolutions: bool = True
    head: bool = True
    pixel_shuffle: bool = False

    @property
    def places(self) -> int:
        """How many kinds of places are INT8."""
        return sum((self.residuals, self.first, self.shortcuts, self.deconvolutions, self.head))

    def __str__(self) -> str:
        words = [
            "residual additions INT8" if self.residuals else "residual additions float",
            "first convolution INT8" if self.first else "first convolution float",
            "projected shortcuts INT8" if self.shortcuts else "projected shortcuts float",
            ("transposed convolutions as 1x1 and pixel shuffle" if self.pixel_shuffle else "transposed convolutions")
            + (" INT8" if self.deconvolutions else " float"),
        ]
        if not self.head:
            words.append("what reads distances alone float")
        return ", ".join(words)


def quantizable(model: ModelProto) -> list[str]:
    """The tensors that some `Plan` quantizes: inputs of convolutions, and both sides of residual additions."""
    tensors: dict[str, None] = {}
    made = makers(model)
    for node in model.graph.node:
        if node.op_type in CONVOLUTIONS:
            tensors[node.input[0]] = None
        elif node.op_type == "Add" and _is_residual(node, made):
            tensors.update(dict.fromkeys(node.input))
    return list(tensors)


def of_distances(model: ModelProto) -> list[str]:
    """Those of `quantizable` that say how far features are apart, and nothing else: of DMDD's head."""
    features = _features(model, makers(model))
    return [name for name in quantizable(model) if name not in features]


def layers(model: ModelProto, plan: Plan) -> dict[str, str]:
    """What `quantize` makes INT8 by a plan: node names, in order, each with a name for a person."""
    chosen = _chosen(model, plan, frozenset())
    return {node.name: _title(node) for node in model.graph.node if node.name in chosen}


def quantize(
    model: ModelProto,
    scales: Mapping[str, float],
    means: Mapping[str, NDArray[np.float64]],
    plan: Plan,
    released: Collection[str] = frozenset(),
) -> ModelProto:
    """The network with Q/DQ pairs where `plan` says.

    Args:
        model: The float32 network.
        scales: The INT8 step of each tensor of `quantizable`.
        means: The mean of each of its channels.
        plan: Which places become INT8.
        released: Layers that stay float all the same, names as of `layers`.
    """
    result = ModelProto()
    result.CopyFrom(model)
    chosen = _chosen(model, plan, released)
    made = makers(model)
    if plan.pixel_shuffle:
        pixel_shuffle(result)
    graph = _Rewriter(result, scales)
    for node in list(result.graph.node):
        if node.name.removesuffix(_SHUFFLED) not in chosen:
            continue
        if node.op_type in CONVOLUTIONS:
            graph.quantize_weights(node, means[node.input[0]])
            graph.quantize_input(node, 0)
        else:
            sides = [made[name].op_type if name in made else "" for name in node.input]
            # Both sides may end in a convolution (projected shortcut): one of them stays float to be fused.
            shortcut = 0 if sides[0] not in CONVOLUTIONS else 1
            graph.quantize_input(node, shortcut)
    graph.finish()
    onnx.checker.check_model(result)
    return result


def _chosen(model: ModelProto, plan: Plan, released: Collection[str]) -> set[str]:
    """Names of the nodes that become INT8."""
    image = model.graph.input[0].name
    constants = {tensor.name for tensor in model.graph.initializer}
    made = makers(model)
    features = _features(model, made)
    chosen = set()
    for node in model.graph.node:
        if not plan.head and node.input[0] not in features:
            continue
        if node.op_type in CONVOLUTIONS:
            wanted = (
                has_weights(node, constants, made)
                and (plan.first or node.input[0] != image)
                and (plan.shortcuts or not _projects(node))
                and (plan.deconvolutions or node.op_type != "ConvTranspose")
            )
        else:
            wanted = plan.residuals and node.op_type == "Add" and _is_residual(node, made)
        if wanted and node.name not in released:
            chosen.add(node.name)
    return chosen


def makers(model: ModelProto) -> dict[str, NodeProto]:
    """The node that makes each tensor."""
    return {output: node for node in model.graph.node for output in node.output}


def _features(model: ModelProto, made: Mapping[str, NodeProto]) -> set[str]:
    """The tensors that some path from the picture reaches other than through a cosine; the rest are of distances."""
    reached = {model.graph.input[0].name}
    for node in model.graph.node:
        if reached.intersection(node.input) and not _is_cosine(node, made):
            reached.update(node.output)
    return reached


def _is_cosine(node: NodeProto, made: Mapping[str, NodeProto]) -> bool:
    """Whether a node sums the products of two normalised tensors."""
    product = made.get(node.input[0]) if node.op_type == "ReduceSum" else None
    if product is None or product.op_type != "Mul":
        return False
    return all(name in made and made[name].op_type == "Div" for name in product.input)


def _title(node: NodeProto) -> str:
    """A convolution by its weights' name, as in the checkpoint; an addition by what it gives."""
    if node.op_type in CONVOLUTIONS:
        return str(node.input[1]).removeprefix("model.").removesuffix(".weight")
    return f"residual addition {node.output[0]}"


def _is_residual(node: NodeProto, made: dict[str, NodeProto]) -> bool:
    """Whether an addition ends a residual block: one of its sides is a convolution's."""
    return any(made[name].op_type in CONVOLUTIONS for name in node.input if name in made)


def has_weights(node: NodeProto, constants: Collection[str], made: Mapping[str, NodeProto]) -> bool:
    """Whether a node is a convolution with weights of its own.

    AAND's gates compare by one: what they read was divided by its norm, and their memory too, which the exporter
    computes in the graph or folds into a constant by its size. A cosine in either wants float32.
    """
    if node.op_type not in CONVOLUTIONS or node.input[1] not in constants:
        return False
    return node.input[0] not in made or made[node.input[0]].op_type != "Div"


def _projects(node: NodeProto) -> bool:
    """Whether a convolution is a strided 1x1 one."""
    sizes = {attribute.name: list(attribute.ints) for attribute in node.attribute}
    return sizes.get("kernel_shape") == [1, 1] and max(sizes.get("strides", [1])) > 1


def _pixels(node: NodeProto) -> int:
    """How many pixels a transposed convolution gives for each it reads: so many share the kernel's positions."""
    strides = (list(attribute.ints) for attribute in node.attribute if attribute.name == "strides")
    return math.prod(next(strides, [1]))


_SHUFFLED = "_as_1x1"


def pixel_shuffle(model: ModelProto) -> None:
    """Rewrites each 2x2 stride-2 transposed convolution as a 1x1 convolution to 4 C channels and a depth-to-space.

    The same numbers: out(2y + i, 2x + j, c) = sum_k in(y, x, k) W(k, c, i, j).
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
    """Puts Q/DQ pairs into a graph; a tensor wanted in INT8 by several nodes gets one pair."""

    def __init__(self, model: ModelProto, scales: Mapping[str, float]) -> None:
        self._graph = model.graph
        self._scales = scales
        self._pools = {node.output[0]: node for node in model.graph.node if node.op_type == "MaxPool"}
        self._pairs: dict[str, str] = {}
        self._before: dict[str, list[NodeProto]] = {}
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}

    def quantize_input(self, node: NodeProto, index: int) -> None:
        name = node.input[index]
        pool = self._pools.get(name)
        if pool is None:
            node.input[index] = self._pair(name, self._scales[name], node)
        elif pool.input[0] not in self._pairs.values():
            # The largest of rounded values is the rounded largest: the same numbers, and a quarter of the pool's bytes.
            pool.input[0] = self._pair(pool.input[0], self._scales[name], pool)

    def _pair(self, name: str, step: float, reader: NodeProto) -> str:
        """The dequantized tensor; its nodes come before the first `reader`."""
        if name not in self._pairs:
            scale = self._constant(f"{name}_scale", np.float32(step))
            zero = self._constant(f"{name}_zero", np.int8(0))
            integers, floats = f"{name}_int8", f"{name}_dequantized"
            self._before.setdefault(reader.output[0], []).extend(
                [
                    helper.make_node("QuantizeLinear", [name, scale, zero], [integers], name=f"{name}_quantize"),
                    helper.make_node("DequantizeLinear", [integers, scale, zero], [floats], name=f"{name}_dequantize"),
                ]
            )
            self._pairs[name] = floats
        return self._pairs[name]

    def quantize_weights(self, node: NodeProto, means: NDArray[np.float64]) -> None:
        """Makes the weights integers; `means` are those of the channels of the node's input."""
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
        self._before.setdefault(node.output[0], []).append(
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
        """Puts the new nodes before those that need them: ONNX wants its nodes in order."""
        ordered: list[NodeProto] = []
        for node in self._graph.node:
            ordered += [*self._before.get(node.output[0], []), node]
        del self._graph.node[:]
        self._graph.node.extend(ordered)

    def _constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name
