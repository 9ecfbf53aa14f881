from __future__ import annotations

from dataclasses import dataclass

import openvino as ov
from openvino import opset13 as ops

from edge_inspect.edge.processor import features

_CONVOLUTIONS = {"Convolution", "ConvolutionBackpropData"}
_ELEMENTWISE = {"Relu", "PRelu", "Clamp", "Add", "Subtract", "Multiply", "Divide", "Convert", "Reshape"}
_LEVELS = 256


@dataclass(frozen=True)
class Sums:
    """The residual additions of an INT8 network whose sum is only read quantized.

    Attributes:
        rounded: Number of additions that were changed.
        missed: Number of additions with a convolution on one side that were not changed, because the graph has another
            form than `round_sums` knows. It is 0 with the releases of OpenVINO that this was written for.
    """

    rounded: int
    missed: int


def fuses_sums() -> bool:
    """Return whether this processor has AMX. On others, the gain of `round_sums` has not been measured.

    On a processor with only AVX2, OpenVINO 2026.4 gave wrong numbers in residual blocks with a projected shortcut.
    There it adds inside the convolution even without `round_sums`.
    """
    return "amx_int8" in features()


def round_sums(network: ov.Model) -> Sums:
    """Quantize the summands of residual additions whose sum is only read quantized, so that OpenVINO adds in INT8.

    OpenVINO's CPU plugin adds inside a convolution if the addition reads quantized values on both sides. Then nothing
    is written in float. Otherwise the addition is a kernel of its own that reads floats, because in 2026.4
    SnippetsMarkSkipped does not recognise a convolution that is followed by a scale. The summands get the quantization
    step of the sum, which adds a little noise. TensorRT needs no such pairs (see calibrate/int8/quantize.py), so they
    are not in the ONNX.

    Returns:
        The additions that were changed, and those that were missed.
    """
    changed = missed = 0
    for node in network.get_ordered_ops():
        summands = _data_inputs(node)
        if node.get_type_name() != "Add" or len(summands) < 2:
            continue
        quantization = _only_reader(node)
        convolution = next((i for i in (0, 1) if _is_convolution(summands[i])), None)
        if quantization is None or convolution is None:
            missed += _is_only_read_quantized(node) and any(map(_follows_convolution, summands))
            continue
        low, high = quantization.input_value(1), quantization.input_value(2)
        for i in (0, 1):
            # If one summand stayed float, the sum would be float too.
            if i == convolution or summands[i].get_type_name() == "Interpolate":
                rounded = ops.fake_quantize(node.input_value(i), low, high, low, high, _LEVELS)
                node.input(i).replace_source_output(rounded.output(0))
        changed += 1
    return Sums(changed, missed)


def _only_reader(addition: ov.Node) -> ov.Node | None:
    """Return the quantization that is the only reader of a sum or of its ReLU; `None` if there are other readers."""
    readers = [reader.get_node() for reader in addition.output(0).get_target_inputs()]
    if len(readers) == 1 and readers[0].get_type_name() == "Relu":
        readers = [reader.get_node() for reader in readers[0].output(0).get_target_inputs()]
    return readers[0] if len(readers) == 1 and readers[0].get_type_name() == "FakeQuantize" else None


def _is_convolution(node: ov.Node) -> bool:
    """Return whether this node is a convolution, or the bias or the ReLU that follows one."""
    if node.get_type_name() == "Relu":
        node = node.input_value(0).get_node()
    if node.get_type_name() == "Add" and _is_constant(node.input_value(1).get_node()):
        node = node.input_value(0).get_node()
    return node.get_type_name() in _CONVOLUTIONS


def _is_only_read_quantized(node: ov.Node) -> bool:
    """Return whether all that reads a node, through elementwise operations with constants, is quantization."""
    readers = [reader.get_node() for reader in node.output(0).get_target_inputs()]
    return bool(readers) and all(
        reader.get_type_name() == "FakeQuantize" or (_is_unary(reader) and _is_only_read_quantized(reader))
        for reader in readers
    )


def _follows_convolution(node: ov.Node) -> bool:
    """Return whether only elementwise operations with constants lie between a convolution and this node."""
    while _is_unary(node):
        (node,) = _data_inputs(node)
    return node.get_type_name() in _CONVOLUTIONS


def _is_unary(node: ov.Node) -> bool:
    return node.get_type_name() in _ELEMENTWISE and len(_data_inputs(node)) == 1


def _data_inputs(node: ov.Node) -> list[ov.Node]:
    """Return the nodes that a node reads, without constants."""
    return [source for value in node.input_values() if not _is_constant(source := value.get_node())]


def _is_constant(node: ov.Node) -> bool:
    """Return whether this node is a constant such as a bias, which the ONNX reader reshapes."""
    while node.get_type_name() == "Reshape":
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")
