"""Whether an engine reproduces a bundle's golden frames."""

from __future__ import annotations

import numpy as np

from edge_inspect.edge.bundle.bundle import Bundle
from edge_inspect.edge.engines import Engine
from edge_inspect.edge.errors import BundleError, DriftError


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
