"""The fused kernels on a real GPU: right, and how far from torch and from the bytes they must move.

    python tests/benchmarks/gpu.py [--teacher resnet18] [--size 256] [--batch 1] [--kind float16] [--no-compile]

Needs an NVIDIA GPU, nvcc, numpy, OpenCV (edge/ reads pictures with it) and cuda-bindings; torch for the comparison. For
features of ResNet-18 and WideResNet-50-2:

    lowres_us    discrepancy.cu's distance_*, all scales and images
    floor_us     a copy on the same card that moves as many bytes (half of them read, half written)
    head_us      upsampling, blur, score and mask; head_top100_us: the score as the mean of the 100 largest
    fused_us     both, the score as the maximum, as bundles have it
    eager_us, compiled_us   models/discrepancy.py and the mask, by torch, and by torch.compile; empty without torch

and the largest errors of map and score against float64 by numpy and, where torch is, models/discrepancy.py. Kernels and
copies are timed 20 in one CUDA graph, torch as it is called; medians. At batch 1 inputs stay in the L2 cache, as they
do after the network. With torch then a whole frame, see gpu_torch.py. Writes results/gpu.csv and results/gpu_frame.csv;
exit status 1 where an error is above 1e-5 (float32) or 2e-3 (float16).
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from cuda.bindings import driver
from kernels.card import Gpu, build_for_card, checked, microseconds
from kernels.host import HeadRun, features
from numpy.typing import NDArray
from table import RESULTS, Row, store

from edge_inspect.edge.discrepancy import EPSILON, blurring_matrix, upsampling_matrix
from edge_inspect.edge.frame.tiles import Grid
from edge_inspect.edge.kernels.discrepancy import FeaturePair, Kind, distance

CHANNELS = {"resnet18": (64, 128, 256), "wide_resnet50_2": (256, 512, 1024)}
STRIDES = (4, 8, 16)
TOLERANCE: dict[Kind, float] = {"float32": 1e-5, "float16": 2e-3}
REPEATS = 20
THRESHOLD, SIGMA = 0.5, 4.0
DISTINCT = 4
"""Pictures of a batch; the others are the same ones again."""


def main() -> int:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", choices=CHANNELS, action="append")
    parser.add_argument("--size", type=int, action="append")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--kind", choices=TOLERANCE, action="append")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out: it takes a minute or more")
    arguments = parser.parse_args()
    torch_side = find_torch()
    right = True
    with tempfile.TemporaryDirectory() as folder:
        cubin = build_for_card(Path(folder))
        for teacher in arguments.teacher or CHANNELS:
            for size in arguments.size or (256, 512):
                for batch in arguments.batch or (1, 8, 32):
                    for kind in arguments.kind or TOLERANCE:
                        row = measure(cubin, teacher, size, batch, kind, torch_side, not arguments.no_compile)
                        show(row, RESULTS / "gpu.csv", ("card", "teacher", "size", "batch", "kernel"))
                        # Written so that NaN is wrong.
                        right &= bool(row["map_error"] <= TOLERANCE[kind] and row["score_error"] <= TOLERANCE[kind])
        if torch_side is not None:
            for kind in arguments.kind or TOLERANCE:
                show(torch_side.whole_frame(Gpu(cubin), kind), torch_side.FRAMES, torch_side.FRAME_KEY)
    return 0 if right else 1


def find_torch() -> ModuleType | None:
    """gpu_torch.py where torch has this GPU; where it does not, that is said."""
    if importlib.util.find_spec("torch") is not None:
        found = importlib.import_module("gpu_torch")
        if found.torch.cuda.is_available():
            return found
    print("no torch with CUDA here: the kernels are measured without it", file=sys.stderr)
    return None


def show(row: Row, table: Path, key: Sequence[str]) -> None:
    """Prints a row and stores it."""
    store(table, row, key)
    print(*(f"{name} {value}" for name, value in row.items()), sep="  ", flush=True)


def measure(
    cubin: Path, teacher: str, size: int, batch: int, kind: Kind, torch_side: ModuleType | None, compiled: bool
) -> Row:
    """One row of the table."""
    shapes = [(channels, size // s, size // s) for channels, s in zip(CHANNELS[teacher], STRIDES, strict=True)]
    distinct = features(shapes, min(batch, DISTINCT), np.dtype(kind).type, seed=size)
    sides = [[np.resize(feature, (batch, *feature.shape[1:])) for feature in side] for side in distinct]
    gpu = Gpu(cubin)
    gpu.stream = checked(driver.cuStreamCreate(0))
    maps = [np.full((batch, *shape[1:]), np.nan, np.float32) for shape in shapes]
    heads = {top: HeadRun([shape[1:] for shape in shapes], Grid(size, size), batch) for top in (1, 100)}
    first_stage = distance(
        [
            FeaturePair(gpu.address(t), gpu.address(s), gpu.address(m), *shape)
            for t, s, m, shape in zip(*sides, maps, shapes, strict=True)
        ],
        batch,
        kind=kind,
    )

    def lowres() -> None:
        gpu.run(first_stage)

    def head(top: int = 1) -> None:
        heads[top](gpu, maps, top=top, threshold=THRESHOLD)

    def fused() -> None:
        lowres()
        head()

    wanted = [np.resize(reference(distinct, size), (batch, size, size))]
    comparison: Row = {"eager_us": "", "compiled_us": "", "torch": ""}
    if torch_side is not None:
        by_torch, comparison = torch_side.compare(sides, size, THRESHOLD, compiled)
        wanted.append(by_torch)
    map_errors, score_errors = [], []
    lowres()
    for top, run in heads.items():
        head(top)
        found, scores, mask = (gpu.fetch(array) for array in (run.map, run.score, run.mask))
        assert np.array_equal(mask, found > THRESHOLD)
        for each in wanted:
            map_errors.append(np.abs(found - each).max())
            highest = np.partition(each.reshape(batch, -1), -top, axis=1)[:, -top:]
            score_errors.append(np.abs(scores - highest.mean(axis=1)).max())

    moved = sum(array.nbytes for array in (*sides[0], *sides[1], *maps))
    source, target = (gpu.address(np.empty(moved // 2, np.uint8)) for _ in range(2))
    times = {
        "lowres_us": in_graph(gpu, lowres),
        "floor_us": in_graph(gpu, lambda: checked(driver.cuMemcpyDtoDAsync(target, source, moved // 2, gpu.stream))),
        "head_us": in_graph(gpu, head),
        "head_top100_us": in_graph(gpu, lambda: head(100)),
        "fused_us": in_graph(gpu, fused),
    }
    eager = comparison["eager_us"]
    return {
        "card": gpu.name,
        "teacher": teacher,
        "size": size,
        "batch": batch,
        "kernel": first_stage.kernel,
        **{name: round(value, 2) for name, value in times.items()},
        "eager_us": eager,
        "compiled_us": comparison["compiled_us"],
        "megabytes": round(moved / 1e6, 2),
        "lowres_over_floor": round(times["lowres_us"] / times["floor_us"], 2),
        "eager_over_fused": round(eager / times["fused_us"], 1) if isinstance(eager, float) else "",
        "map_error": float(np.max(map_errors)),
        "score_error": float(np.max(score_errors)),
        "torch": comparison["torch"],
    }


def reference(sides: Sequence[Sequence[np.ndarray]], size: int) -> NDArray[np.float64]:
    """The anomaly maps in float64, (N, size, size)."""
    maps = np.zeros(())
    for pair in zip(*sides, strict=True):
        t, s = (side.astype(np.float64) for side in pair)
        norms = np.prod([np.maximum(np.linalg.norm(side, axis=1), EPSILON) for side in (t, s)], axis=0)
        head = blurring_matrix(size, SIGMA) @ upsampling_matrix(t.shape[-1], size)
        maps = maps + head @ (1 - (t * s).sum(axis=1) / norms) @ head.T
    return maps


def in_graph(gpu: Gpu, work: Callable[[], object]) -> float:
    """Microseconds of `work`, 20 times in one CUDA graph; what it needs on the GPU must be there already."""
    checked(driver.cuStreamBeginCapture(gpu.stream, driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
    for _ in range(REPEATS):
        work()
    graph = checked(driver.cuGraphInstantiate(checked(driver.cuStreamEndCapture(gpu.stream)), 0))
    taken = microseconds(gpu.stream, lambda: checked(driver.cuGraphLaunch(graph, gpu.stream)))
    checked(driver.cuGraphExecDestroy(graph))
    return taken / REPEATS


if __name__ == "__main__":
    sys.exit(main())
