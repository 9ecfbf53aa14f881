"""Explicit INT8: QuantizeLinear and DequantizeLinear pairs in the ONNX, the form TensorRT and OpenVINO share.

Activations have one symmetric scale a tensor, weights one a channel, rounded to 7 bits here. Each convolution gets
pairs on its input and its weights. At a residual addition the pair goes on the shortcut's side: with it, an engine runs
convolution, addition and ReLU as one INT8 kernel (NVIDIA/TensorRT issue 1992); the side that ends in a convolution
needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from calibrate.activations import LEVELS, WEIGHT_LEVELS, collect, mse_clip

CONVOLUTIONS = ("Conv", "ConvTranspose")


@dataclass(frozen=True)
class Plan:
    """Which places of a network become INT8.

    Attributes:
        residuals: Pairs on the shortcut's side of additions.
        first: The first convolution too, which sees the picture.
        shortcuts: Strided 1x1 convolutions too, which project a residual block's shortcut. OpenVINO 2026.4 on AVX2
            gives wrong numbers where such a convolution and the block's own share an INT8 input (seen: RD4AD on MTD).
        deconvolutions: Transposed convolutions too.
        pixel_shuffle: Transposed convolutions are written as 1x1 convolution and depth-to-space first.
    """

    residuals: bool = True
    first: bool = True
    shortcuts: bool = True
    deconvolutions: bool = True
    pixel_shuffle: bool = False

    def __str__(self) -> str:
        words = [
            "residual additions INT8" if self.residuals else "residual additions float",
            "first convolution INT8" if self.first else "first convolution float",
            "projected shortcuts INT8" if self.shortcuts else "projected shortcuts float",
            ("transposed convolutions as 1x1 and pixel shuffle" if self.pixel_shuffle else "transposed convolutions")
            + (" INT8" if self.deconvolutions else " float"),
        ]
        return ", ".join(words)


def activation_scales(model: ModelProto, images: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """Symmetric INT8 scales, by tensor, of everything that any `Plan` may quantize.

    Args:
        model: The float32 network.
        images: Calibration inputs, (1, 3, H, W) each.
    """
    tensors: dict[str, None] = {}
    made = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.op_type in CONVOLUTIONS:
            tensors[node.input[0]] = None
        elif node.op_type == "Add" and _is_residual(node, made):
            tensors.update(dict.fromkeys(node.input))
    histograms = collect(model, list(tensors), images)
    return {name: mse_clip(histogram) / LEVELS for name, histogram in histograms.items()}


def quantize(model: ModelProto, scales: dict[str, float], plan: Plan) -> ModelProto:
    """The network with Q/DQ pairs where `plan` says; `scales` as of `activation_scales` for the same network."""
    result = ModelProto()
    result.CopyFrom(model)
    if plan.pixel_shuffle:
        pixel_shuffle(result)
    graph = _Rewriter(result, scales)
    image = result.graph.input[0].name
    made = {output: node for node in result.graph.node for output in node.output}
    for node in list(result.graph.node):
        if node.op_type in CONVOLUTIONS:
            shuffled = node.name.endswith(_SHUFFLED)
            deconvolution = node.op_type == "ConvTranspose" or shuffled
            if (
                node.input[1] not in graph.weights  # computed, as the normalised memory of AAND's gates: it stays float
                or (node.input[0] == image and not plan.first)
                or (_projects(node) and not plan.shortcuts)
                or (deconvolution and not plan.deconvolutions)
            ):
                continue
            graph.quantize_input(node, 0)
            graph.quantize_weights(node, axis=1 if node.op_type == "ConvTranspose" else 0)
        elif node.op_type == "Add" and plan.residuals and _is_residual(node, made):
            sides = [made[name].op_type if name in made else "" for name in node.input]
            # Both sides may end in a convolution (projected shortcut): one of them stays float to be fused.
            shortcut = 0 if sides[0] not in CONVOLUTIONS else 1
            graph.quantize_input(node, shortcut)
    graph.finish()
    onnx.checker.check_model(result)
    return result


def _is_residual(node: NodeProto, made: dict[str, NodeProto]) -> bool:
    """Whether an addition ends a residual block: one of its sides is a convolution's."""
    return any(made[name].op_type in CONVOLUTIONS for name in node.input if name in made)


def _projects(node: NodeProto) -> bool:
    """Whether a convolution is a strided 1x1 one."""
    sizes = {attribute.name: list(attribute.ints) for attribute in node.attribute}
    return sizes.get("kernel_shape") == [1, 1] and max(sizes.get("strides", [1])) > 1


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

    def __init__(self, model: ModelProto, scales: dict[str, float]) -> None:
        self._graph = model.graph
        self._scales = scales
        self._pairs: dict[str, str] = {}
        self._before: dict[str, list[NodeProto]] = {}
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}

    def quantize_input(self, node: NodeProto, index: int) -> None:
        name = node.input[index]
        if name not in self._pairs:
            scale = self._constant(f"{name}_scale", np.float32(self._scales[name]))
            zero = self._constant(f"{name}_zero", np.int8(0))
            integers, floats = f"{name}_int8", f"{name}_dequantized"
            self._before.setdefault(node.output[0], []).extend(
                [
                    helper.make_node("QuantizeLinear", [name, scale, zero], [integers], name=f"{name}_quantize"),
                    helper.make_node("DequantizeLinear", [integers, scale, zero], [floats], name=f"{name}_dequantize"),
                ]
            )
            self._pairs[name] = floats
        node.input[index] = self._pairs[name]

    def quantize_weights(self, node: NodeProto, axis: int) -> None:
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
