"""The prototypes of a memory inside a bundle's ONNX, and how more of them are appended in every precision.

A bank computes the cosines of directions with its prototypes by a 1x1 convolution, and takes the largest over channels:

    Div (to unit length) -> Conv (1x1, the prototypes) -> ReduceMax (axis 1)

Further prototypes are further output channels of the convolution. Nothing else in the graph depends on their number. A
larger number of cosines can only raise the largest, so no distance from the memory grows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from edge_inspect.calibrate.int8.quantize import WEIGHT_LEVELS, makers

MULTIPLE = 16
"""Engines compute channels in groups of this many, so a bank's number of prototypes is a multiple of it."""
UNIT = 1e-3
"""Largest deviation of a prototype's length from 1; it is kept in float32."""

Floats = NDArray[np.float32]


class Bank(NamedTuple):
    """A bank of a memory in the float32 network.

    Attributes:
        node: Name of the convolution; it is the same in every precision.
        directions: Name of the tensor that it reads, (1, C, h, w), of unit length over C.
        nearest: Name of the tensor with the cosine of the nearest prototype, (1, 1, h, w).
        prototypes: The prototypes, (K, C).
    """

    node: str
    directions: str
    nearest: str
    prototypes: Floats


class Addition(NamedTuple):
    """Prototypes to append to a bank.

    Attributes:
        prototypes: Unit vectors, (K, C).
        means: Mean of each channel of the bank's directions on good pictures, (C,), by which INT8 corrects its bias.
    """

    prototypes: Floats
    means: Floats


def find_banks(model: ModelProto) -> list[Bank]:
    """Return the banks of the memory in a float32 network, in the order of the graph; none if it has no memory."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    made = makers(model)
    found = []
    for node in model.graph.node:
        convolution = made.get(node.input[0]) if node.op_type == "ReduceMax" and _over_channels(node) else None
        if convolution is None or convolution.op_type != "Conv" or len(convolution.input) != 2:
            continue
        source, weights = made.get(convolution.input[0]), constants.get(convolution.input[1])
        if source is None or source.op_type != "Div" or weights is None or list(weights.dims[2:]) != [1, 1]:
            continue
        prototypes = numpy_helper.to_array(weights)[:, :, 0, 0].astype(np.float32)
        if np.abs(np.linalg.norm(prototypes, axis=1) - 1).max() < UNIT:
            found.append(Bank(convolution.name, convolution.input[0], node.output[0], prototypes))
    return found


def banks_in(network: bytes, banks: Sequence[Bank]) -> list[Bank]:
    """Return the same banks as they are in the ONNX of another precision, which may read directions that are rounded.

    Raises:
        ValueError: The network lacks a convolution.
    """
    nodes = {node.name: node for node in onnx.load_from_string(network).graph.node}
    if missing := [bank.node for bank in banks if bank.node not in nodes]:
        raise ValueError(f"has no convolution {missing[0]}")
    return [bank._replace(directions=nodes[bank.node].input[0]) for bank in banks]


def grown(network: bytes, additions: Mapping[str, Addition]) -> bytes:
    """Return an ONNX network, in any precision, with more prototypes.

    Where the precision keeps the prototypes as integers, each new one gets a scale of its own and a bias that corrects
    the rounding, as `calibrate.int8.quantize` gives the others.

    Args:
        network: The ONNX file.
        additions: Prototypes by the name of the bank's convolution.

    Raises:
        ValueError: The network keeps the prototypes in a form that is not known; the message names it.
    """
    model = onnx.load_from_string(network)
    nodes = {node.name: node for node in model.graph.node}
    growing = _Growing(model)
    for name, addition in additions.items():
        if name not in nodes:
            raise ValueError(f"has no convolution {name}")
        growing.append(nodes[name], addition)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def padded(prototypes: Floats, present: int) -> Floats:
    """Return prototypes, the last one repeated, so that with those present they are a multiple of `MULTIPLE`."""
    missing = -(present + len(prototypes)) % MULTIPLE if len(prototypes) else 0
    return np.concatenate([prototypes, np.repeat(prototypes[-1:], missing, axis=0)])


class _Growing:
    """Appends channels to convolutions of a graph."""

    def __init__(self, model: ModelProto) -> None:
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._made = makers(model)

    def append(self, node: NodeProto, addition: Addition) -> None:
        source = self._made.get(node.input[1])
        if source is None:
            self._extend(node.input[1], addition.prototypes[:, :, None, None])
            bias = np.zeros(len(addition.prototypes), np.float32)
        elif source.op_type == "DequantizeLinear":
            scales = np.maximum(np.abs(addition.prototypes).max(axis=1), 1e-12).astype(np.float32) / WEIGHT_LEVELS
            integers = np.clip(np.rint(addition.prototypes / scales[:, None]), -WEIGHT_LEVELS, WEIGHT_LEVELS)
            bias = (addition.prototypes - integers * scales[:, None]) @ addition.means
            self._extend(source.input[0], integers[:, :, None, None])
            self._extend(source.input[1], scales)
            self._extend(source.input[2], np.zeros(len(scales)))
        else:
            raise ValueError(f"{node.name} reads its prototypes from {source.op_type}")
        if len(node.input) > 2:
            self._extend(node.input[2], bias)

    def _extend(self, name: str, values: NDArray[np.generic]) -> None:
        tensor = self._constants.get(name)
        if tensor is None or tensor.data_type not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8):
            raise ValueError(f"{name} is no constant of a known type")
        present = numpy_helper.to_array(tensor)
        together = np.concatenate([present, values.astype(present.dtype)])
        tensor.CopyFrom(numpy_helper.from_array(together, name))


def _over_channels(node: NodeProto) -> bool:
    axes = next((list(each.ints) for each in node.attribute if each.name == "axes"), [])
    return axes == [1]
