"""Engines: what turns a frame into an anomaly map. Each is one file here, behind one small interface."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle
from edge.errors import BundleError, EngineError
from edge.fit import Placement
from edge.images import Frame
from edge.messages import Precision

log = logging.getLogger(__name__)


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
        name: `openvino`, ...
        precision: What it computes in.
    """

    name: str
    precision: Precision

    def infer(self, frame: Frame) -> AnomalyMap:
        """The anomaly map of a frame of any size.

        Raises:
            EngineError: The engine failed, or its result is not finite.
        """


def open_engine(bundle: Bundle, precision: Precision | None = None, *, threads: int = 0) -> Engine:
    """Builds an engine for a bundle.

    Args:
        bundle: The bundle.
        precision: Which of its models; without one, the bundle's preferred.
        threads: Processor threads to use; 0 is all.

    Raises:
        EngineError: It cannot be built here.
        BundleError: The bundle has no such precision.
    """
    from edge.engines.openvino import OpenVinoEngine  # the import takes a tenth of a second: only who infers pays

    return OpenVinoEngine(bundle, precision or bundle.manifest.preferred, threads=threads)


def open_checked_engine(bundle: Bundle, precision: Precision | None = None, *, threads: int = 0) -> Engine:
    """Builds an engine that reproduces the golden frames.

    Where no precision is asked for, one that does not is refused with a warning, and the next more precise one tried.
    Arguments as of `open_engine`.

    Raises:
        EngineError: None does, or the one asked for does not.
        BundleError: The bundle has no such precision.
    """
    first = precision or bundle.manifest.preferred
    there = bundle.manifest.precisions
    more_precise = [] if precision else there[there.index(first) + 1 :]
    for candidate, following in zip([first, *more_precise], more_precise, strict=False):
        try:
            return _checked(bundle, candidate, threads)
        except EngineError as error:
            log.warning("%s; trying %s", error, following)
    return _checked(bundle, more_precise[-1] if more_precise else first, threads)


def _checked(bundle: Bundle, precision: Precision, threads: int) -> Engine:
    engine = open_engine(bundle, precision, threads=threads)
    check_golden(bundle, engine)
    return engine


def check_golden(bundle: Bundle, engine: Engine) -> float:
    """Runs the golden frames; returns the largest difference of a map value.

    Raises:
        EngineError: It exceeds the manifest's tolerance.
        BundleError: The golden maps are of another size than the engine's.
    """
    worst = golden_difference(bundle, engine)
    tolerance = bundle.manifest.golden.tolerance[engine.precision]
    if not worst <= tolerance:
        raise EngineError(
            f"{bundle.path}: the {engine.precision} {engine.name} engine does not reproduce the golden frames: "
            f"a map value differs by {worst:.4g}, the manifest allows {tolerance:.4g}"
        )
    return worst


def golden_difference(bundle: Bundle, engine: Engine) -> float:
    """The largest difference of a map value over the golden frames; NaN where one is not a number.

    Raises:
        EngineError: The engine failed.
        BundleError: The golden maps are of another size than the engine's.
    """
    worst = 0.0
    for golden in bundle.golden():
        values = engine.infer(golden.frame).values
        if values.shape != golden.map.shape:
            raise BundleError(f"{bundle.path}: golden maps are not of the canvas's size")
        worst = float(np.maximum(worst, np.abs(values - golden.map).max()))
    return worst
