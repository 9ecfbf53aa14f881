"""The fused kernels on a real GPU: right, and how far from torch and from the bytes they must move.

    python tests/benchmarks/gpu.py [--teacher resnet18] [--size 256] [--batch 1] [--kind float16] [--no-compile]

Needs an NVIDIA GPU, nvcc, torch and cuda-bindings, which torch brings. For features of ResNet-18 and WideResNet-50-2:

    lowres_us    discrepancy.cu's distance_*, all scales and images
    floor_us     a copy on the same card that moves as many bytes (half of them read, half written)
    head_us      upsampling, blur, score and mask; head_top100_us: the score as the mean of the 100 largest
    fused_us     both, the score as the maximum, as bundles have it
    eager_us, compiled_us   models/discrepancy.py and the mask, by torch, and by torch.compile

and the largest errors of map and score against models/discrepancy.py. Then a whole 640x480 frame, ResNet-18 RD4AD at
256x256 under one CUDA graph: upload, preprocess.cu, the torch model, discrepancy.cu, score and mask back; beside it,
tests/benchmarks/tensorrt_frame.py has the same of TensorRT. Kernels and copies are timed 20 in one CUDA graph, torch as
it is called; medians. At batch 1 inputs stay in the L2 cache, as they do after the network. Writes results/gpu.csv and
results/gpu_frame.csv; exit status 1 where an error is above 1e-5 (float32) or 2e-3 (float16).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from cuda.bindings import driver
from kernels.card import checked
from table import RESULTS, Row, store
from tensorrt_frame import FRAME_KEY, FRAMES, frame_row

from edge.fit import MEAN, STD, Fit
from edge.kernels.cubin import load_cubin
from edge.kernels.discrepancy import Features, distance, head_launch, head_tables, patches
from edge.kernels.launch import Launch
from edge.kernels.preprocess import plan
from edge.tiles import Grid
from models.discrepancy import anomaly_map, score
from models.rd import ReverseDistillation
from models.teacher import Teacher

CHANNELS = {"resnet18": (64, 128, 256), "wide_resnet50_2": (256, 512, 1024)}
STRIDES = (4, 8, 16)
TOLERANCE = {"float32": 1e-5, "float16": 2e-3}
REPEATS, ROUNDS = 20, 30
THRESHOLD = 0.5


def main() -> int:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", choices=CHANNELS, action="append")
    parser.add_argument("--size", type=int, action="append")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--kind", choices=TOLERANCE, action="append")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out: it takes a minute or more")
    arguments = parser.parse_args()
    gpu = Gpu()
    right = True
    for teacher in arguments.teacher or CHANNELS:
        for size in arguments.size or (256, 512):
            for batch in arguments.batch or (1, 8, 32):
                for kind in arguments.kind or TOLERANCE:
                    row = measure(gpu, teacher, size, batch, kind, not arguments.no_compile)
                    store(RESULTS / "gpu.csv", row, ("card", "teacher", "size", "batch", "kernel"))
                    print(*(f"{key} {value}" for key, value in row.items()), sep="  ", flush=True)
                    # Written so that NaN is wrong.
                    right &= bool(row["map_error"] <= TOLERANCE[kind] and row["score_error"] <= TOLERANCE[kind])
    for kind in arguments.kind or TOLERANCE:
        row = whole_frame(gpu, kind)
        store(FRAMES, row, FRAME_KEY)
        print(*(f"{key} {value}" for key, value in row.items()), sep="  ", flush=True)
    return 0 if right else 1


class Gpu:
    """The kernels, compiled for the card at hand and loaded beside torch."""

    def __init__(self) -> None:
        torch.zeros(1, device="cuda")  # makes the context that the module is loaded into
        self.name = torch.cuda.get_device_name()
        with tempfile.TemporaryDirectory() as folder:
            cubin = load_cubin(torch.cuda.get_device_capability(), Path(folder))
        self._module = checked(driver.cuModuleLoadData(cubin))
        self._functions: dict[str, Any] = {}

    def run(self, launch: Launch) -> None:
        """Launches on torch's current stream."""
        if launch.kernel not in self._functions:
            self._functions[launch.kernel] = checked(driver.cuModuleGetFunction(self._module, launch.kernel.encode()))
        arguments = np.array([launch.parameters.ctypes.data], np.uint64)
        stream = torch.cuda.current_stream().cuda_stream
        function, where = self._functions[launch.kernel], arguments.ctypes.data
        checked(driver.cuLaunchKernel(function, *launch.grid, *launch.block, launch.shared, stream, where, 0))


class Discrepancy:
    """Both stages with their buffers on the GPU; the features stay where they are."""

    def __init__(self, gpu: Gpu, sizes: list[tuple[int, int]], grid: Grid, frames: int, top: int = 1) -> None:
        width, height = grid.canvas
        self._gpu = gpu
        self._maps = [torch.full((frames, *size), torch.nan, device="cuda") for size in sizes]
        self.map = torch.full((frames, height, width), torch.nan, device="cuda")
        self.mask = torch.full((frames, height, width), 7, dtype=torch.uint8, device="cuda")
        self.score = torch.full((frames,), torch.nan, device="cuda")
        self._peaks = torch.zeros((frames, patches(grid)), dtype=torch.int32, device="cuda")
        self._done = torch.zeros(frames, dtype=torch.int32, device="cuda")
        tables = head_tables(sizes, grid, 4.0)
        self._arrays = [{k: torch.from_numpy(v).cuda() for k, v in band.arrays.items()} for band in tables]
        addresses = [
            {name: tensor.data_ptr() for name, tensor in ({"map": m} | held).items()}
            for m, held in zip(self._maps, self._arrays, strict=True)
        ]
        named = {"map": self.map, "mask": self.mask, "score": self.score, "peaks": self._peaks, "done": self._done}
        outputs = {name: tensor.data_ptr() for name, tensor in named.items()}
        valid = (0, 0, width, height)
        self._head = head_launch(tables, addresses, outputs, grid, frames, valid=valid, top=top, threshold=THRESHOLD)

    def lowres(self, teacher: list[torch.Tensor], student: list[torch.Tensor]) -> None:
        """The first stage."""
        assert all(f.is_contiguous() for f in (*teacher, *student))
        scales = [
            Features(t.data_ptr(), s.data_ptr(), m.data_ptr(), *t.shape[1:])
            for t, s, m in zip(teacher, student, self._maps, strict=True)
        ]
        kind: Any = str(teacher[0].dtype).removeprefix("torch.")
        launch = distance(scales, len(teacher[0]), kind=kind)
        self.kernel = launch.kernel
        self._gpu.run(launch)

    def head(self) -> None:
        """The second."""
        self._gpu.run(self._head)

    def both(self, teacher: list[torch.Tensor], student: list[torch.Tensor]) -> None:
        """Both."""
        self.lowres(teacher, student)
        self.head()


def made_up(teacher: str, size: int, batch: int, kind: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Features of teacher and student, post-ReLU and near each other."""
    generator = torch.Generator("cuda").manual_seed(size + batch)
    sides: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for channels, stride in zip(CHANNELS[teacher], STRIDES, strict=True):
        shape = (batch, channels, size // stride, size // stride)
        t = torch.randn(shape, generator=generator, device="cuda").relu_()
        s = torch.randn(shape, generator=generator, device="cuda").mul_(0.3).add_(t).relu_()
        for side, feature in zip(sides, (t, s), strict=True):
            side.append(feature.to(getattr(torch, kind)))
    return sides


def measure(gpu: Gpu, teacher: str, size: int, batch: int, kind: str, compiled: bool) -> Row:
    """One row of the table."""
    features = made_up(teacher, size, batch, kind)
    sizes, grid = [tuple(t.shape[2:]) for t in features[0]], Grid(size, size)
    fused, of_100 = (Discrepancy(gpu, sizes, grid, batch, top) for top in (1, 100))
    wanted = anomaly_map(*features, (size, size))
    errors = []
    for side, top in ((fused, 1), (of_100, 100)):
        side.both(*features)
        errors.append((side.score - score(wanted, top)).abs().max().item())
        assert torch.equal(side.mask.bool(), side.map > THRESHOLD)
    moved = sum(2 * t.numel() * t.element_size() + 4 * t.numel() // t.shape[1] for t in features[0])

    def by_torch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        found = anomaly_map(*features, (size, size))
        return found, score(found), found > THRESHOLD

    source, target = (torch.ones(moved // 2, dtype=torch.uint8, device="cuda") for _ in range(2))
    times = {
        "lowres_us": in_graph(lambda: fused.lowres(*features)),
        "floor_us": in_graph(lambda: target.copy_(source)),
        "head_us": in_graph(fused.head),
        "head_top100_us": in_graph(of_100.head),
        "fused_us": in_graph(lambda: fused.both(*features)),
        "eager_us": called(by_torch),
        "compiled_us": called(torch.compile(by_torch)) if compiled else float("nan"),
    }
    torch.compiler.reset()
    return {
        "card": gpu.name,
        "teacher": teacher,
        "size": size,
        "batch": batch,
        "kernel": fused.kernel,
        **{name: round(value, 2) for name, value in times.items()},
        "megabytes": round(moved / 1e6, 2),
        "lowres_over_floor": round(times["lowres_us"] / times["floor_us"], 2),
        "eager_over_fused": round(times["eager_us"] / times["fused_us"], 1),
        "map_error": (fused.map - wanted[:, 0]).abs().max().item(),
        "score_error": max(errors),
        "torch": str(torch.__version__),
    }


def in_graph(work: Callable[[], object]) -> float:
    """Microseconds of `work`, 20 times in one CUDA graph."""
    graph = captured(lambda: [work() for _ in range(REPEATS)])
    return events(graph.replay) / REPEATS


def captured(work: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """`work` as a CUDA graph, after it ran once outside."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph


def called(work: Callable[[], object]) -> float:
    """Microseconds of `work` as it is called, one call after another."""
    return events(lambda: [work() for _ in range(REPEATS)]) / REPEATS


def events(work: Callable[[], object]) -> float:
    """Median microseconds between the events around `work`."""
    taken = []
    for turn in range(ROUNDS + 3):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        work()
        after.record()
        after.synchronize()
        if turn >= 3:  # the first are to warm up
            taken.append(before.elapsed_time(after) * 1000)
    return median(taken)


@torch.no_grad()
def whole_frame(gpu: Gpu, kind: Any) -> Row:
    """A frame in pinned memory to its score and mask in pinned memory, one graph, as the processor's clock has it."""
    fit = Fit(256, 256)
    made = plan(fit, 640, 480)
    dtype = getattr(torch, kind)
    model = ReverseDistillation(Teacher("resnet18")).eval().cuda().to(dtype)
    frame = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)).pin_memory()
    seen = torch.empty_like(frame, device="cuda")
    between = [torch.empty((h, w, 3), dtype=torch.uint8, device="cuda") for w, h in made.steps]
    image = torch.empty((1, 3, 256, 256), dtype=dtype, device="cuda")
    addresses = seen.data_ptr(), 3 * 640, [b.data_ptr() for b in between], image.data_ptr()
    prepare = made.launches(*addresses, mean=MEAN, std=STD, kind=kind)
    fused = Discrepancy(gpu, [(256 // s, 256 // s) for s in STRIDES], Grid(256, 256), 1)
    result = torch.empty(1, pin_memory=True)
    mask = torch.empty((1, 256, 256), dtype=torch.uint8, pin_memory=True)

    def work() -> None:
        seen.copy_(frame, non_blocking=True)
        for launch in prepare:
            gpu.run(launch)
        fused.both(*model(image))
        result.copy_(fused.score, non_blocking=True)
        mask.copy_(fused.mask, non_blocking=True)

    graph = captured(work)

    def through() -> None:
        graph.replay()
        torch.cuda.synchronize()

    row = frame_row(gpu.name, "rd resnet18 256x256, torch", kind, f"torch {torch.__version__}", through)
    assert np.isfinite(result.item())
    return row


if __name__ == "__main__":
    sys.exit(main())
