"""Build a TensorRT engine from an ONNX, with the settings that the release needs; keep its log and its timing cache."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.tensorrt.bindings import BuilderConfig, TensorRt, collecting_log, reason
from edge_inspect.edge.engines.tensorrt.float_weights import with_float_weights
from edge_inspect.edge.engines.tensorrt.release import Options, options_for
from edge_inspect.edge.errors import EngineError

WORKSPACE_MB = 1024
"""Memory in MiB that a tactic may use beside the network. On a Jetson all other programs share this memory."""


@dataclass(frozen=True)
class Built:
    """The result of a build.

    Attributes:
        plan: The serialized engine.
        log: TensorRT's messages, one per line.
        timing: The timing cache after the build.
        seconds: Duration of the build in seconds.
    """

    plan: bytes
    log: str
    timing: bytes
    seconds: float


class BuildError(EngineError):
    """TensorRT could not build an engine.

    Attributes:
        log: TensorRT's messages, one per line.
    """

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


def build(
    trt: TensorRt, model: bytes, precision: Precision, *, workspace_mb: int = WORKSPACE_MB, timing: bytes = b""
) -> Built:
    """Build an engine on this box's GPU, which takes minutes, and return it.

    Args:
        trt: The `tensorrt` package.
        model: The ONNX, without external data.
        precision: Precision of the ONNX.
        workspace_mb: Memory in MiB that a tactic may use.
        timing: Timing cache of an earlier build. A cache of another GPU or release is ignored.

    Raises:
        BuildError: TensorRT cannot parse or build the ONNX; the message has its reason and the remedy.
        EngineError: The release is too old, or it needs the onnx package, which is missing.
    """
    options = options_for(trt.__version__, precision)
    logger, lines = collecting_log(trt)
    lines.append(f"TensorRT {trt.__version__}, {precision}, {options}, workspace {workspace_mb} MiB")
    started = time.monotonic()
    if options.float_weights:
        model = with_float_weights(model)
    try:
        builder = trt.Builder(logger)
        network = builder.create_network(_bits(trt.NetworkDefinitionCreationFlag, options.network))
        _parse(trt, logger, network, model)
        config = builder.create_builder_config()
        _configure(trt, config, options, workspace_mb, timing)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise ValueError("no engine was built")
        # The cache is copied while builder and configuration exist, because they own its memory.
        measured = config.get_timing_cache()
        kept = bytes(measured.serialize()) if measured is not None else b""
        return Built(bytes(plan), "\n".join(lines) + "\n", kept, time.monotonic() - started)
    except (
        TypeError,
        ValueError,
        RuntimeError,
        MemoryError,
    ) as error:  # the bindings raise these, for example without a device
        raise BuildError(
            f"TensorRT {trt.__version__} built no {precision} engine: {error}: {reason(lines)}; "
            "if it lacks memory, end other programs or allow less workspace (calibrate compile --workspace)",
            "\n".join(lines) + "\n",
        ) from error


def _parse(trt: TensorRt, logger: Any, network: Any, model: bytes) -> None:
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        raise ValueError("the ONNX is not read: " + "; ".join(f"node {e.node()}: {e.desc()}" for e in errors))


def _configure(trt: TensorRt, config: BuilderConfig, options: Options, workspace_mb: int, timing: bytes) -> None:
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mb << 20)
    for name in options.on:
        config.set_flag(getattr(trt.BuilderFlag, name))
    for name in options.off:
        config.clear_flag(getattr(trt.BuilderFlag, name))
    if options.tactics:
        config.set_tactic_sources(_bits(trt.TacticSource, options.tactics))
    for name in options.preview:
        config.set_preview_feature(getattr(trt.PreviewFeature, name), True)
    cache = config.create_timing_cache(timing)
    if cache is None or not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _bits(flags: Any, names: tuple[str, ...]) -> int:
    return sum(1 << int(getattr(flags, name)) for name in names)
