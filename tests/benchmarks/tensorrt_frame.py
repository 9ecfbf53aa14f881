"""A frame's way through the engine that a station runs on an NVIDIA GPU: TensorRT, with the kernels and without.

    python tests/benchmarks/tensorrt_frame.py BUNDLE... [--precision int8]

Needs an NVIDIA GPU, nvcc, tensorrt and pycuda; no torch. For each of a bundle's precisions the engine comes from the
cache, or is built. Of a 640x480 frame in memory, 500 times: p50 and p99 to its anomaly map in memory, with the kernels
and with the processor in their place, and the network alone, its input in place and its features left on the GPU. The
way with the kernels is also compared with the processor's map of the same features. Writes results/gpu_frame.csv.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median, quantiles

import numpy as np
from numpy.typing import NDArray
from table import RESULTS, Row, store

from edge_inspect.edge.bundle.bundle import open_bundle
from edge_inspect.edge.contract.fields import Precision
from edge_inspect.edge.engines.tensorrt.cache import EngineCache, default_cache
from edge_inspect.edge.engines.tensorrt.cached import find_device, open_cached
from edge_inspect.edge.engines.tensorrt.engine import TensorRtEngine
from edge_inspect.edge.engines.tensorrt.fused import FusedTensorRtEngine

FRAMES = RESULTS / "gpu_frame.csv"
FRAME_KEY = ("card", "network", "kind")
WARM_UP, COUNT = 100, 500


def main() -> None:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="+", help="whose engines are timed")
    parser.add_argument("--precision", choices=("int8", "fp16", "fp32"), action="append")
    parser.add_argument("--cache", type=Path, help="where engines are kept; the service's folder otherwise")
    arguments = parser.parse_args()
    cache = EngineCache(arguments.cache or default_cache())
    for path in arguments.bundle:
        for precision in arguments.precision or open_bundle(path).manifest.precisions:
            for row in measure(path, precision, cache):
                store(FRAMES, row, FRAME_KEY)
                print(*(f"{key} {value}" for key, value in row.items()), sep="  ", flush=True)


def measure(path: Path, precision: Precision, cache: EngineCache) -> Iterator[Row]:
    """Both ways of a precision.

    Raises:
        BundleError: The bundle has no such precision.
    """
    bundle, device = open_bundle(path), find_device()
    frame: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    fused = open_cached(bundle, precision, cache, device)
    plan = cache.find(device.key(bundle, precision))
    assert isinstance(fused, FusedTensorRtEngine) and plan is not None
    around = TensorRtEngine(bundle, precision, plan, device.trt, device.cuda)
    difference = np.abs(fused.infer(frame).values - around.infer(frame).values).max()
    for engine, name in ((fused, "kernels"), (around, "the processor")):
        row = frame_row(
            device.cuda.gpu.name,
            f"{bundle.manifest.name}, tensorrt and {name}",
            precision,
            f"tensorrt {device.trt.__version__}",
            partial(engine.infer, frame),
            engine.run_network,
        )
        yield row | {"map_difference": f"{difference:.1e}"}


def frame_row(
    card: str,
    network: str,
    kind: str,
    version: str,
    through: Callable[[], object],
    alone: Callable[[], object] | None = None,
) -> Row:
    """A row of the table, as the processor's clock has it."""
    whole = _microseconds(through)
    return {
        "card": card,
        "network": network,
        "kind": kind,
        "frame": "640x480",
        "p50_us": round(median(whole), 1),
        "p99_us": round(quantiles(whole, n=100)[98], 1),
        "network_us": round(median(_microseconds(alone)), 1) if alone else "",
        "version": version,
        "map_difference": "",
    }


def _microseconds(work: Callable[[], object]) -> list[float]:
    taken = []
    for _ in range(WARM_UP + COUNT):
        started = time.perf_counter()
        work()
        taken.append((time.perf_counter() - started) * 1e6)
    return taken[WARM_UP:]


if __name__ == "__main__":
    main()
