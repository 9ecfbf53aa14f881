"""Torch-TensorRT on a workstation, for comparison: the same checkpoint and the same golden frames, without ONNX."""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edge_inspect.calibrate.area_scales import with_scales
from edge_inspect.calibrate.compiling import Open
from edge_inspect.calibrate.export import Flat, names_of, outputs_of
from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines import Engine
from edge_inspect.edge.engines.base import FittedEngine
from edge_inspect.edge.engines.tensorrt.host_head import HostHead
from edge_inspect.edge.errors import EngineError, UsageError
from edge_inspect.edge.frame.images import Frame
from edge_inspect.models.network import Network
from edge_inspect.train import checkpoint


def with_torch_tensorrt(bundle: Bundle, run: Path, workspace_mb: int) -> Open:
    """Return a function that opens Torch-TensorRT engines from the checkpoint that the bundle was made from.

    Raises:
        UsageError: The checkpoint is of another system, teacher, category or fit.
        CheckpointError: The checkpoint cannot be used.
        EngineError: Torch-TensorRT or a GPU is missing on this machine.
    """
    about, model = checkpoint.load(run)
    part = bundle.manifest.model
    if (about.model, about.teacher_sha256, about.category, about.fit) != (
        part.system,
        part.teacher_sha256,
        part.category,
        with_scales(bundle.fit, {}),
    ):
        raise UsageError(f"{run}: is not the checkpoint that {bundle.path} was made from; name that one with --run")
    compiler = _load_compiler()

    def open_one(precision: Precision) -> tuple[Engine, str]:
        return TorchTensorRtEngine(bundle, precision, model, compiler, workspace_mb), "by Torch-TensorRT, kept nowhere"

    return open_one


class TorchTensorRtEngine(FittedEngine):
    """A model compiled by Torch-TensorRT, strongly typed: half precision is set in the model, not by the compiler.

    Args:
        bundle: The bundle.
        precision: `fp16` or `fp32`.
        model: The trained model, which is not changed.
        compiler: The module `torch_tensorrt.dynamo`.
        workspace_mb: Memory that a tactic may use, in units of 2^20 bytes.

    Raises:
        EngineError: Torch-TensorRT cannot compile the model, or the precision is INT8.
    """

    name = "torch-tensorrt"

    def __init__(self, bundle: Bundle, precision: Precision, model: Network, compiler: Any, workspace_mb: int) -> None:
        super().__init__(bundle, precision)
        if precision == "int8":
            raise EngineError("the INT8 scales are in the bundle's ONNX, which Torch-TensorRT does not read")
        dtype = torch.float16 if precision == "fp16" else torch.float32
        self._image = torch.zeros(1, 3, self._fit.height, self._fit.width, dtype=dtype, device="cuda")
        self._names = names_of(outputs_of(model.gives_map))
        options: dict[str, Any] = {"disable_tf32": precision == "fp32", "workspace_size": workspace_mb << 20}
        if "use_explicit_typing" in inspect.signature(compiler.compile).parameters:  # from 2.14 on, typing is always so
            options["use_explicit_typing"] = True
        try:
            flat = Flat(copy.deepcopy(model)).eval().to("cuda", dtype)
            exported = torch.export.export(flat, (self._image,))
            self._module = compiler.compile(
                exported, arg_inputs=[self._image], min_block_size=1, require_full_compilation=True, **options
            )
            shapes = {name: tuple(output.shape) for name, output in zip(self._names, self._run(), strict=True)}
        except RuntimeError as error:
            raise EngineError(f"{bundle.path}: Torch-TensorRT builds no {precision} engine: {error}") from error
        self._host = np.zeros(tuple(self._image.shape), np.float32)
        self._head = HostHead(bundle.manifest, shapes)

    def _release(self) -> None:
        del self._module, self._image

    def _run(self) -> tuple[torch.Tensor, ...]:
        with torch.inference_mode():
            given = self._module(self._image)
        return (given,) if isinstance(given, torch.Tensor) else tuple(given)

    def _maps(self, tiles: Iterable[Frame]) -> Iterator[NDArray[np.float32]]:
        for tile in tiles:
            self._head.load(tile, self._host)
            self._image.copy_(torch.from_numpy(self._host))
            outputs = zip(self._names, self._run(), strict=True)
            yield self._head.map({name: output.cpu().numpy() for name, output in outputs})


def _load_compiler() -> Any:
    remedy = "pip install 'edge-inspect[train,torch-tensorrt]' on a workstation with an NVIDIA GPU"
    if not torch.cuda.is_available():
        raise EngineError(f"torch sees no NVIDIA GPU here; {remedy}")
    try:
        return importlib.import_module("torch_tensorrt").dynamo
    except (ImportError, OSError) as error:
        raise EngineError(f"Torch-TensorRT cannot be loaded: {error}; {remedy}") from error
