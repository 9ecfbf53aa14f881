"""What differs from one TensorRT release to the next, decided by its version alone.

    8.5 to 9     explicit batch is a flag; types are chosen by the builder within what FP16 and INT8 allow; INT8 weights
                 are read as floats alone; cuBLAS and cuDNN are used unless they are named out
    10           a strongly typed network is a flag: the ONNX says every type, and FP16 and INT8 are refused
    11           every network is strongly typed; the flags for explicit batch, FP16 and INT8 are gone

Flags are names here, looked up in the bindings when an engine is built. tests/edge/engines/tensorrt/releases.json has
what the bindings of each release hold; a test compares.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.errors import EngineError

OLDEST = (8, 5)
"""The first with the I/O-tensor API, execute_async_v3 and memory pools."""

PRECISIONS: tuple[Precision, ...] = ("int8", "fp16", "fp32")
"""What TensorRT runs of a bundle."""


@dataclass(frozen=True)
class Options:
    """How a network is made and built.

    Attributes:
        network: Names in NetworkDefinitionCreationFlag.
        on: Names in BuilderFlag to set.
        off: Names in BuilderFlag to clear.
        tactics: Names in TacticSource, all that are to be used; empty for the release's own choice.
        preview: Names in PreviewFeature to set.
        float_weights: INT8 weights have to be written as floats (edge/engines/tensorrt/float_weights.py).
    """

    network: tuple[str, ...]
    on: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    tactics: tuple[str, ...] = ()
    preview: tuple[str, ...] = ()
    float_weights: bool = False


def options_for(version: str, precision: Precision) -> Options:
    """Return the flags that a release needs for a precision.

    TF32, on by default, keeps 10 bits of a float32 product: the FP32 engine, the last to fall back to, does without.
    Before 10, cuBLAS and cuDNN are among the sources of tactics. These networks are convolutions, for which TensorRT
    has kernels of its own: the two stay out, and a box need neither have nor load them. From 10 on they are out by
    default, says NVIDIA's reference of TacticSource.

    Args:
        version: `tensorrt.__version__`, such as `8.5.3.1` or `10.3.0`.
        precision: Of the ONNX, which has its Q/DQ pairs or its half-precision types written in.

    Raises:
        EngineError: The release is older than 8.5, or the version cannot be read.
    """
    off = ("TF32",) if precision == "fp32" else ()
    major, _ = parse_version(version)
    if major >= 10:
        return Options(("STRONGLY_TYPED",) if major == 10 else (), off=off)
    on: dict[Precision, tuple[str, ...]] = {
        "int8": ("INT8", "FP16"),
        # Preferred, not obeyed: where a release has no kernel for a type the ONNX asks for, the golden frames decide.
        "fp16": ("FP16", "PREFER_PRECISION_CONSTRAINTS"),
        "fp32": (),
    }
    return Options(
        ("EXPLICIT_BATCH",),
        on[precision],
        off,
        tactics=("EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"),
        preview=("DISABLE_EXTERNAL_TACTIC_SOURCES_FOR_CORE_0805",),
        float_weights=precision == "int8",
    )


def parse_version(version: str) -> tuple[int, int]:
    """Return the major and minor number.

    Raises:
        EngineError: It is older than 8.5, or no version.
    """
    match = re.match(r"(\d+)\.(\d+)", version)
    if match is None:
        raise EngineError(f"TensorRT says it is version {version!r}, which cannot be read; install 8.5 to 11")
    found = int(match[1]), int(match[2])
    if found < OLDEST:
        raise EngineError(f"TensorRT {version} is older than 8.5; update JetPack, or pip install 'tensorrt>=8.5,<12'")
    return found
