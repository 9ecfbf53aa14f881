"""Check that this box computes correctly, with the golden frames of a small bundle that ships with the package."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_inspect.edge.bundle.bundle import Bundle, open_bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.golden import golden_difference
from edge_inspect.edge.engines.opening import open_engine, usable_engines
from edge_inspect.edge.errors import BundleError, EngineError

BUNDLE = Path(__file__).with_name("selftest.zip")
"""Bundle of the self-test, made by `python -m edge_inspect.calibrate.selftest_bundle edge/selftest.zip`."""


@dataclass(frozen=True)
class Trial:
    """The result of one precision on one engine.

    Attributes:
        engine: Name of the engine in the registry.
        precision: Precision: `fp32`, `fp16` or `int8`.
        ok: Whether the engine reproduces the golden frames.
        detail: The measured difference and time, or the error.
    """

    engine: str
    precision: Precision
    ok: bool
    detail: str

    def __str__(self) -> str:
        return f"{'ok' if self.ok else 'FAILED':8}  {self.engine:8}  {self.precision:4}  {self.detail}"


def try_all(path: Path = BUNDLE) -> Iterator[Trial]:
    """Run the golden frames in each precision on every engine that this box can run, and yield each result.

    Args:
        path: Path of the bundle.

    Raises:
        BundleError: The bundle is damaged.
    """
    bundle = open_bundle(path)
    # Engines are built in a temporary folder, because the service's cache belongs to the service's user.
    with TemporaryDirectory(prefix="edge-inspect-") as cache:
        for engine in usable_engines():
            for precision in reversed(bundle.manifest.precisions):
                yield _try(bundle, engine, precision, Path(cache))


def _try(bundle: Bundle, engine: str, precision: Precision, cache: Path) -> Trial:
    started = time.perf_counter()
    allowed = bundle.manifest.golden.tolerance[precision]
    try:
        with open_engine(bundle, precision, engine=engine, cache=cache) as opened:
            difference = golden_difference(bundle, opened)
    except (BundleError, EngineError) as error:
        return Trial(engine, precision, False, str(error))
    detail = f"golden maps differ by {difference:.2e} at most, {allowed:g} is allowed"
    return Trial(engine, precision, difference <= allowed, f"{detail}; {time.perf_counter() - started:.1f} s")
