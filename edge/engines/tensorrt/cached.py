"""Take a TensorRT engine from the cache, or build it: at the service's first start, and in `calibrate compile`."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from pathlib import Path

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.cuda import Cuda, Kernels
from edge_inspect.edge.engines.golden import check_golden
from edge_inspect.edge.engines.tensorrt.bindings import TensorRt, load_tensorrt
from edge_inspect.edge.engines.tensorrt.builder import WORKSPACE_MB, BuildError, Built, build
from edge_inspect.edge.engines.tensorrt.cache import EngineCache, EngineKey, default_cache
from edge_inspect.edge.engines.tensorrt.engine import TensorRtEngine
from edge_inspect.edge.engines.tensorrt.fused import FusedTensorRtEngine
from edge_inspect.edge.engines.tensorrt.release import parse_version
from edge_inspect.edge.errors import DriftError, EngineError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """The GPU and the TensorRT package of this box.

    Attributes:
        trt: The `tensorrt` package, version 8.5 or newer.
        cuda: The GPU.
    """

    trt: TensorRt
    cuda: Cuda

    def key(self, bundle: Bundle, precision: Precision) -> EngineKey:
        """Return the key under which an engine of a bundle is kept on this box."""
        gpu = self.cuda.gpu
        return EngineKey(bundle.digest, gpu.name, gpu.capability, self.trt.__version__, precision)


@functools.cache
def find_device() -> Device:
    """Return this box's device, which is opened once per process.

    Raises:
        EngineError: TensorRT, pycuda, the driver or the GPU is missing; the message has the remedy.
    """
    trt = load_tensorrt()
    parse_version(trt.__version__)
    return Device(trt, Cuda())


class CachedTensorRtEngine(TensorRtEngine):
    """TensorRT's engine as the registry names it: `load` and `build` take it from the cache, or build it now.

    Both return a `FusedTensorRtEngine`, or a `TensorRtEngine` on a box where the kernels cannot be used. This class
    itself is never instantiated.
    """

    @classmethod
    def check_box(cls) -> None:
        """Look for TensorRT, pycuda and a GPU.

        Raises:
            EngineError: One of them is missing; the message has the remedy.
        """
        find_device()

    @classmethod
    def load(
        cls, bundle: Bundle, precision: Precision, *, threads: int = 0, cache: Path | None = None
    ) -> TensorRtEngine:
        """Return the engine from the cache. If it is not there, build it, which takes minutes."""
        return cls.build(bundle, precision, cache=cache, workspace_mb=None, again=False)[0]

    @classmethod
    def build(
        cls, bundle: Bundle, precision: Precision, *, cache: Path | None, workspace_mb: int | None, again: bool
    ) -> tuple[TensorRtEngine, Path]:
        """Return the engine, from the cache or built now, and its folder in the cache."""
        device, kept = find_device(), EngineCache(cache or default_cache())
        workspace_mb = WORKSPACE_MB if workspace_mb is None else workspace_mb
        engine = open_cached(bundle, precision, kept, device, workspace_mb=workspace_mb, again=again)
        return engine, kept.path(device.key(bundle, precision))


def open_cached(
    bundle: Bundle,
    precision: Precision,
    cache: EngineCache,
    device: Device,
    *,
    workspace_mb: int = WORKSPACE_MB,
    again: bool = False,
) -> TensorRtEngine:
    """Return the engine from the cache. If it has none that this box can run, build one, check it and keep it.

    Args:
        bundle: The bundle.
        precision: The precision whose model runs.
        cache: Cache of engines.
        device: This box's GPU and TensorRT.
        workspace_mb: Memory in MiB that a tactic may use during the build.
        again: Whether to build the engine even if the cache has it or has a record that it was refused.

    Raises:
        EngineError: The engine cannot be built on this box.
        DriftError: The engine, built now or before, does not reproduce the golden frames.
        BundleError: The bundle does not have the precision.
    """
    key = device.key(bundle, precision)
    plan, kernels = None if again else cache.find(key), _kernels(device, cache)
    if plan is not None:
        try:
            return _open(bundle, precision, plan, device, kernels)
        except EngineError as error:
            log.warning("%s: %s; it is built again", cache.path(key), error)
    log.info("%s: building the %s engine for %s; this takes minutes", bundle.path, precision, device.cuda.gpu)
    built = _build(bundle, key, cache, device, workspace_mb)
    engine = _open(bundle, precision, built.plan, device, kernels)
    try:
        worst = check_golden(bundle, engine)
    except EngineError as error:
        engine.close()
        if isinstance(error, DriftError):
            cache.refuse(key, str(error), built.log)
        raise
    facts = {"seconds": round(built.seconds, 1), "golden": worst, "driver": device.cuda.gpu.cuda}
    log.info("%s: golden maps differ by %.2e at most", cache.store(key, built.plan, built.log, facts), worst)
    return engine


def _kernels(device: Device, cache: EngineCache) -> Kernels | None:
    try:
        with device.cuda.current():
            return device.cuda.kernels(cache.folder)
    except EngineError as error:
        log.warning(
            "%s; until then the processor normalises every frame and compares the features of every tile, after all of "
            "them are copied to it: that costs a millisecond or more per frame",
            error,
        )
        return None


def _open(bundle: Bundle, precision: Precision, plan: bytes, device: Device, kernels: Kernels | None) -> TensorRtEngine:
    if kernels is not None:
        fused = None
        try:
            fused = FusedTensorRtEngine(bundle, precision, plan, device.trt, device.cuda, kernels)
            check_golden(bundle, fused)
            return fused
        except EngineError as error:  # the next engine shows whether the kernels or the plan are at fault
            log.warning("%s; trying again with the processor in place of the kernels, which costs milliseconds", error)
            if fused is not None:
                fused.close()
    return TensorRtEngine(bundle, precision, plan, device.trt, device.cuda)


def _build(bundle: Bundle, key: EngineKey, cache: EngineCache, device: Device, workspace_mb: int) -> Built:
    model = bundle.model(key.precision)
    try:
        with device.cuda.current():
            built = build(device.trt, model, key.precision, workspace_mb=workspace_mb, timing=cache.timing(key))
    except BuildError as error:
        # The build is not recorded as refused, because next time there may be enough memory.
        raise EngineError(f"{bundle.path}: {error}; see {cache.keep_log(key, error.log)}") from error
    cache.store_timing(key, built.timing)
    return built
