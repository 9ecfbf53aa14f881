"""Engines: what turns a frame into an anomaly map. Each is one file here, behind one small interface.

base.py            what every engine does alike: fit, tiles, score
openvino.py        the engine for any processor
openvino_sums.py   residual additions in INT8 inside of convolutions, for OpenVINO on AMX
tensorrt/          the engine for NVIDIA GPUs

This file has the engine's interface, and opens one: by choice, by what the box has, and checked on the golden frames.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.errors import BundleError, DriftError, EngineError
from edge_inspect.edge.frame.fit import Placement
from edge_inspect.edge.frame.images import Frame

log = logging.getLogger(__name__)

EngineName = Literal["openvino", "tensorrt"]


@dataclass(frozen=True)
class AnomalyMap:
    """What an engine says of a frame.

    Attributes:
        values: The map, (height, width) float32 of the fit's canvas. Valid until the engine's next call.
        placement: Where it lies in the frame.
        score: The bundle's statistic over the part that shows the frame.
    """

    values: NDArray[np.float32]
    placement: Placement
    score: float


class Engine(Protocol):
    """Turns frames into anomaly maps for one bundle.

    Attributes:
        name: `openvino` or `tensorrt`.
        precision: What it computes in.
    """

    name: str
    precision: Precision

    def infer(self, frame: Frame) -> AnomalyMap:
        """Return the anomaly map of a frame of any size.

        Raises:
            EngineError: The engine failed, or its result is not finite.
        """


def open_engine(
    bundle: Bundle,
    precision: Precision | None = None,
    *,
    engine: EngineName | None = None,
    threads: int = 0,
    cache: Path | None = None,
) -> Engine:
    """Build an engine for a bundle.

    Args:
        bundle: The bundle.
        precision: Which of its precisions; without one, the first that the bundle names for the engine.
        engine: Which engine; without one, TensorRT where the package, pycuda and a GPU are there, else OpenVINO.
        threads: Processor threads to use; 0 is all.
        cache: The folder of TensorRT's engines; without one, edge/engines/tensorrt/cache.py chooses.

    Raises:
        EngineError: It cannot be built here.
        BundleError: The bundle has no such precision.
    """
    chosen: EngineName = engine or best_engine()
    wanted = precision or bundle.manifest.order_of(chosen)[0]
    # Each import takes a tenth of a second and more: only who infers pays, and only for the engine that runs.
    if chosen == "tensorrt":
        if missing := unsupported(wanted, chosen):
            raise EngineError(f"{bundle.path}: {missing}")
        from edge_inspect.edge.engines.tensorrt.cache import EngineCache, default_cache
        from edge_inspect.edge.engines.tensorrt.cached import find_device, open_cached

        return open_cached(bundle, wanted, EngineCache(cache or default_cache()), find_device())
    from edge_inspect.edge.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(bundle, wanted, threads=threads)


def unsupported(precision: Precision, engine: EngineName) -> str:
    """Return why an engine cannot compute in a precision on this box; an empty text where it can."""
    if precision != "bf16":
        return ""
    if engine == "tensorrt":
        return "bf16 is for OpenVINO; TensorRT runs int8, fp16 and fp32"
    from edge_inspect.edge.engines.openvino import default_type

    return "" if default_type() == "bf16" else "bf16 needs a processor with bfloat16 instructions; this one has none"


def best_engine() -> EngineName:
    """Return TensorRT where this box can run it, else OpenVINO."""
    from edge_inspect.edge.engines.tensorrt.cached import find_device

    try:
        find_device()
    except EngineError as error:
        log.debug("OpenVINO runs: %s", error)
        return "openvino"
    return "tensorrt"


def open_checked_engine(
    bundle: Bundle,
    precision: Precision | None = None,
    *,
    engine: EngineName | None = None,
    threads: int = 0,
    cache: Path | None = None,
) -> Engine:
    """Build an engine that reproduces the golden frames.

    One that does not, or cannot be built, is refused with a warning, and the next is tried: where no precision is asked
    for, those that follow in the bundle's order for the engine; where no engine is asked for, OpenVINO after TensorRT.
    Arguments as of `open_engine`.

    Raises:
        EngineError: None does.
        BundleError: The bundle has no such precision.
    """
    first: EngineName = engine or best_engine()
    engines: list[EngineName] = [first] if engine or first == "openvino" else [first, "openvino"]
    candidates = [(name, each) for name in engines for each in fall_back(bundle, precision, name)]
    for (name, candidate), following in zip(candidates, candidates[1:], strict=False):
        try:
            return _checked(bundle, candidate, name, threads, cache)
        except EngineError as error:
            log.warning("%s; trying %s on %s", error, following[1], following[0])
    name, candidate = candidates[-1]
    return _checked(bundle, candidate, name, threads, cache)


def fall_back(bundle: Bundle, precision: Precision | None, engine: EngineName) -> list[Precision]:
    """Return the precisions to try, in turn: the one asked for alone, or those of the bundle's order for the engine."""
    return [precision] if precision else bundle.manifest.order_of(engine)


def _checked(bundle: Bundle, precision: Precision, name: EngineName, threads: int, cache: Path | None) -> Engine:
    engine = open_engine(bundle, precision, engine=name, threads=threads, cache=cache)
    check_golden(bundle, engine)
    return engine


def check_golden(bundle: Bundle, engine: Engine) -> float:
    """Run the golden frames; return the largest difference of a map value.

    Raises:
        DriftError: It exceeds the manifest's tolerance.
        EngineError: The engine failed.
        BundleError: The golden maps are of another size than the engine's.
    """
    worst = golden_difference(bundle, engine)
    tolerance = bundle.manifest.golden.tolerance[engine.precision]
    if not worst <= tolerance:
        raise DriftError(
            f"{bundle.path}: the {engine.precision} {engine.name} engine does not reproduce the golden frames: "
            f"a map value differs by {worst:.4g}, the manifest allows {tolerance:.4g}"
        )
    return worst


def golden_difference(bundle: Bundle, engine: Engine) -> float:
    """Return the largest difference from the precision's golden maps; NaN where a value is not a number.

    Raises:
        EngineError: The engine failed.
        BundleError: The golden maps are of another size than the engine's.
    """
    worst = 0.0
    for golden in bundle.golden():
        values, wanted = engine.infer(golden.frame).values, golden.map_of(engine.precision)
        if values.shape != wanted.shape:
            raise BundleError(f"{bundle.path}: golden maps are not of the canvas's size")
        worst = float(np.maximum(worst, np.abs(values - wanted).max()))
    return worst
