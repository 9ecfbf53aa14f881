"""Check that an engine reproduces a bundle's golden frames."""

from __future__ import annotations

import numpy as np

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.engines import Engine
from edge_inspect.edge.errors import BundleError, DriftError


def check_golden(bundle: Bundle, engine: Engine) -> float:
    """Run the golden frames and return the largest difference of a map value from the golden maps.

    Raises:
        DriftError: The difference exceeds the manifest's tolerance.
        EngineError: The engine failed.
        BundleError: The golden maps differ in size from the engine's maps.
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
    """Return the largest difference from the precision's golden maps; NaN if a map has a NaN.

    Raises:
        EngineError: The engine failed.
        BundleError: The golden maps differ in size from the engine's maps.
    """
    worst = 0.0
    for golden in bundle.golden():
        values, wanted = engine.infer(golden.frame).values, golden.map_of(engine.precision)
        if values.shape != wanted.shape:
            raise BundleError(f"{bundle.path}: the golden maps are not of the canvas's size")
        worst = float(np.maximum(worst, np.abs(values - wanted).max()))
    return worst
