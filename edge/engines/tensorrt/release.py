"""The differences between TensorRT releases, decided by the version.

    8.5 to 9     Explicit batch is a flag. The builder chooses types as far as the flags FP16 and INT8 allow. INT8
                 weights are only read as floats. cuBLAS and cuDNN are used unless the tactic sources leave them out.
    10           A strongly typed network is a flag: the ONNX decides every type, and FP16 and INT8 are refused.
    11           Every network is strongly typed. There are no flags for explicit batch, FP16 and INT8.

Flags are given here by name and looked up in the bindings when an engine is built. A test compares them with
tests/edge/engines/tensorrt/releases.json, which lists the members of each release's bindings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.errors import EngineError

OLDEST = (8, 5)
"""The first release with the I/O-tensor API, execute_async_v3 and memory pools."""

PRECISIONS: tuple[Precision, ...] = ("int8", "fp16", "fp32")
"""Precisions of a bundle that TensorRT can run."""


@dataclass(frozen=True)
class Options:
    """Settings with which a network is created and built.

    Attributes:
        network: Names of flags in NetworkDefinitionCreationFlag to set.
        on: Names of flags in BuilderFlag to set.
        off: Names of flags in BuilderFlag to clear.
        tactics: Names of all sources in TacticSource to use; empty for the release's default.
        preview: Names of features in PreviewFeature to set.
        float_weights: Whether INT8 weights have to be written as floats (edge/engines/tensorrt/float_weights.py).
    """

    network: tuple[str, ...]
    on: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    tactics: tuple[str, ...] = ()
    preview: tuple[str, ...] = ()
    float_weights: bool = False


def options_for(version: str, precision: Precision) -> Options:
    """Return the settings that a release needs for a precision.

    TF32 is on by default and keeps only 10 bits of a float32 product. It is turned off for FP32, the last precision to
    fall back to. Before release 10, cuBLAS and cuDNN are among the sources of tactics. They are left out, because these
    networks are convolutions, for which TensorRT has kernels of its own. So a box needs neither of the two libraries.
    From release 10 on they are off by default, according to NVIDIA's reference of TacticSource.

    Args:
        version: `tensorrt.__version__`, such as `8.5.3.1` or `10.3.0`.
        precision: Precision of the ONNX, which contains its Q/DQ pairs or its half-precision types.

    Raises:
        EngineError: The release is older than 8.5, or the version cannot be parsed.
    """
    off = ("TF32",) if precision == "fp32" else ()
    major, _ = parse_version(version)
    if major >= 10:
        return Options(("STRONGLY_TYPED",) if major == 10 else (), off=off)
    on: dict[Precision, tuple[str, ...]] = {
        "int8": ("INT8", "FP16"),
        # Types are preferred, not obeyed. If a release has no kernel for the ONNX's type, the golden frames decide.
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
    """Return the major and minor number of a version.

    Raises:
        EngineError: The version is older than 8.5, or cannot be parsed.
    """
    match = re.match(r"(\d+)\.(\d+)", version)
    if match is None:
        raise EngineError(f"TensorRT says it is version {version!r}, which cannot be read; install 8.5 to 11")
    found = int(match[1]), int(match[2])
    if found < OLDEST:
        raise EngineError(f"TensorRT {version} is older than 8.5; update JetPack, or pip install 'tensorrt>=8.5,<12'")
    return found
