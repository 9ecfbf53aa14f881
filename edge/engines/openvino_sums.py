from __future__ import annotations

import openvino as ov
from openvino import opset13 as ops

from edge_inspect.edge.processor import features

_CONVOLUTIONS = {"Convolution", "ConvolutionBackpropData"}
_LEVELS = 256


def fuses_sums() -> bool:
    """Return whether this processor has AMX: elsewhere nobody has measured what `round_sums` gains.

    On one with AVX2 alone, OpenVINO 2026.4 has given wrong numbers in residual blocks with a projected shortcut, and
    those it adds inside of the convolution without help.
    """
    return "amx_int8" in features()


def round_sums(network: ov.Model) -> int:
    """Round the summands of convolutions too, where a sum is only read rounded: OpenVINO then adds in INT8.

    Its CPU plugin adds inside of a convolution where the addition reads convolution and quantization: nothing is
    written in float then. Otherwise the sum is a kernel of its own that reads floats (2026.4: SnippetsMarkSkipped knows
    no convolution with a scale behind it). The step is the sum's: a little more noise. TensorRT needs no pair there
    (see calibrate/int8/quantize.py), so this is not in the ONNX.

    Returns:
        How many additions were changed.
    """
    changed = 0
    for node in network.get_ordered_ops():
        if node.get_type_name() != "Add" or (quantization := _only_reader(node)) is None:
            continue
        summands = [value.get_node() for value in node.input_values()]
        convolution = next((i for i in (0, 1) if _is_convolution(summands[i])), None)
        if convolution is None or any(map(_is_constant, summands)):
            continue
        low, high = quantization.input_value(1), quantization.input_value(2)
        for i in (0, 1):
            # With a float beside it the sum would be float.
            if i == convolution or summands[i].get_type_name() == "Interpolate":
                rounded = ops.fake_quantize(node.input_value(i), low, high, low, high, _LEVELS)
                node.input(i).replace_source_output(rounded.output(0))
        changed += 1
    return changed


def _only_reader(addition: ov.Node) -> ov.Node | None:
    """Return the quantization that alone reads a sum, or its ReLU."""
    readers = [reader.get_node() for reader in addition.output(0).get_target_inputs()]
    if len(readers) == 1 and readers[0].get_type_name() == "Relu":
        readers = [reader.get_node() for reader in readers[0].output(0).get_target_inputs()]
    return readers[0] if len(readers) == 1 and readers[0].get_type_name() == "FakeQuantize" else None


def _is_convolution(node: ov.Node) -> bool:
    """Return whether this is a convolution, with its bias and its ReLU as far as it has them."""
    if node.get_type_name() == "Relu":
        node = node.input_value(0).get_node()
    if node.get_type_name() == "Add" and _is_constant(node.input_value(1).get_node()):
        node = node.input_value(0).get_node()
    return node.get_type_name() in _CONVOLUTIONS


def _is_constant(node: ov.Node) -> bool:
    """Return whether this is a bias, which the ONNX reader reshapes."""
    while node.get_type_name() == "Reshape":
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")
