"""How much of an INT8 network OpenVINO computes as INT8 on this processor; the rest it computes as float32."""

from __future__ import annotations

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.engines.openvino import compile_model, read_network

_CONVOLUTIONS = ("Convolution", "Deconvolution")


def int8_convolutions(bundle: Bundle) -> tuple[int, int]:
    """Return how many convolutions of a bundle's INT8 network run as INT8 here, and how many it has.

    Raises:
        BundleError: The bundle has no INT8 network.
        RuntimeError: OpenVINO cannot compile the network.
    """
    compiled = compile_model(read_network(bundle, "int8"))
    layers = [operation.get_rt_info() for operation in compiled.get_runtime_model().get_ops()]
    kinds = [str(layer["primitiveType"].value) for layer in layers if str(layer["layerType"].value) in _CONVOLUTIONS]
    # The kernel's name ends with the type in which it multiplies, such as brgconv_avx512_amx_i8.
    return sum(kind.lower().endswith("i8") for kind in kinds), len(kinds)
