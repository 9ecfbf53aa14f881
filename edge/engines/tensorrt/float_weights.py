"""Write INT8 weights as TensorRT before release 10 reads them: as floats with a QuantizeLinear, not as integers.

A bundle holds weights as integers with a DequantizeLinear, which take a quarter of the space. Older parsers need floats
with a QuantizeLinear before it, and the builder quantizes them itself. (The maintainer says so in onnx/onnx-tensorrt
issue 850; integers were not tried on a GPU.) The quantization step is the same, so the integers are the same too.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from edge_inspect.edge.errors import EngineError


def with_float_weights(model: bytes) -> bytes:
    """Return the ONNX with each integer constant before a DequantizeLinear replaced by a float before a pair.

    Args:
        model: The ONNX. It is returned unchanged if it has no such constants.

    Raises:
        EngineError: The onnx package is missing; the message has the remedy.
    """
    onnx = _load_onnx()
    made = onnx.load_from_string(model)
    constants = {tensor.name: tensor for tensor in made.graph.initializer}
    nodes = []
    for node in made.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            tensor = constants[node.input[0]]
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
            scale = onnx.numpy_helper.to_array(constants[node.input[1]])
            tensor.CopyFrom(onnx.numpy_helper.from_array(_floats(onnx, tensor, scale, axis), tensor.name))
            quantized = f"{tensor.name}_quantized"
            nodes.append(onnx.helper.make_node("QuantizeLinear", list(node.input), [quantized], quantized, axis=axis))
            node.input[0] = quantized
        nodes.append(node)
    if len(nodes) == len(made.graph.node):
        return model
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return bytes(made.SerializeToString())


def _floats(onnx: Any, tensor: Any, scale: Any, axis: int) -> Any:
    values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
    if scale.ndim:
        scale = scale.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    return (values * scale).astype(np.float32)


def _load_onnx() -> Any:
    try:
        onnx = importlib.import_module("onnx")
        importlib.import_module("onnx.numpy_helper")
    except ImportError as error:
        raise EngineError(
            f"TensorRT before 10 reads INT8 weights only as floats, and the onnx package has to write them: {error}; "
            "pip install onnx"
        ) from error
    return onnx
