"""What gpu.py compares with: the discrepancy by torch, eager and compiled, and a whole frame with the torch model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from cuda.bindings import driver
from kernels.card import Gpu, checked, microseconds
from kernels.host import HeadRun
from numpy.typing import NDArray
from table import Row
from tensorrt_frame import FRAME_KEY, FRAMES, frame_row

from edge_inspect.edge.frame.fit import MEAN, STD, Fit
from edge_inspect.edge.frame.tiles import Grid
from edge_inspect.edge.kernels.discrepancy import FeaturePair, Kind, distance
from edge_inspect.edge.kernels.preprocess import plan
from edge_inspect.models.discrepancy import anomaly_map, score
from edge_inspect.models.rd import ReverseDistillation
from edge_inspect.models.teacher import Teacher

REPEATS = 20

__all__ = ["FRAMES", "FRAME_KEY", "compare", "whole_frame"]


def compare(
    sides: Sequence[Sequence[np.ndarray]], size: int, threshold: float, compiled: bool
) -> tuple[NDArray[np.float32], Row]:
    """The anomaly maps of features, (N, size, size), and how long torch takes for map, score and mask.

    Args:
        sides: Teacher's and student's features of each scale, (N, C, H, W).
        size: Of the maps.
        threshold: Of the mask.
        compiled: By torch.compile too, which compiles for half a minute.
    """
    teacher, student = ([torch.from_numpy(feature).cuda() for feature in side] for side in sides)

    def work() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        found = anomaly_map(teacher, student, (size, size))
        return found, score(found), found > threshold

    maps: NDArray[np.float32] = work()[0][:, 0].cpu().numpy()
    times: Row = {"eager_us": _called(work), "compiled_us": "", "torch": str(torch.__version__)}
    if compiled:
        times["compiled_us"] = _called(torch.compile(work))
        torch.compiler.reset()
    return maps, times


def _called(work: Callable[[], object]) -> float:
    """Microseconds of `work` as it is called, one call after another."""
    stream = torch.cuda.current_stream().cuda_stream
    return round(microseconds(stream, lambda: [work() for _ in range(REPEATS)]) / REPEATS, 2)


@torch.no_grad()
def whole_frame(gpu: Gpu, kind: Kind) -> Row:
    """A 640x480 frame through ResNet-18 RD4AD at 256x256, all under one CUDA graph, as the processor's clock has it.

    Upload, preprocess.cu, the torch model, discrepancy.cu, score and mask back; page-locked memory at both ends.
    tests/benchmarks/tensorrt_frame.py has the same of TensorRT.
    """
    made, dtype = plan(Fit(256, 256), 640, 480), getattr(torch, kind)
    model = ReverseDistillation(Teacher("resnet18")).eval().cuda().to(dtype)
    frame = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)).pin_memory()
    seen = torch.empty_like(frame, device="cuda")
    between = [torch.empty((h, w, 3), dtype=torch.uint8, device="cuda") for w, h in made.steps]
    image = torch.empty((1, 3, 256, 256), dtype=dtype, device="cuda")
    addresses = seen.data_ptr(), 3 * 640, [step.data_ptr() for step in between], image.data_ptr()
    prepare = made.launches(*addresses, mean=MEAN, std=STD, kind=kind)
    sizes = [(side, side) for side in (64, 32, 16)]
    maps = [np.full((1, *size), np.nan, np.float32) for size in sizes]
    head = HeadRun(sizes, Grid(256, 256), 1)
    result = torch.full((1,), torch.nan, pin_memory=True)
    mask = torch.empty((1, 256, 256), dtype=torch.uint8, pin_memory=True)

    def work() -> None:
        gpu.stream = torch.cuda.current_stream().cuda_stream
        seen.copy_(frame, non_blocking=True)
        for launch in prepare:
            gpu.run(launch)
        teacher, student = model(image)
        assert all(feature.is_contiguous() for feature in (*teacher, *student))
        scales = [
            FeaturePair(t.data_ptr(), s.data_ptr(), gpu.address(m), *t.shape[1:])
            for t, s, m in zip(teacher, student, maps, strict=True)
        ]
        gpu.run(distance(scales, 1, kind=kind))
        head(gpu, maps)
        for there, back in ((head.score, result), (head.mask, mask)):
            checked(driver.cuMemcpyDtoHAsync(back.data_ptr(), gpu.address(there), there.nbytes, gpu.stream))

    graph = _captured(work)

    def through() -> None:
        graph.replay()
        torch.cuda.synchronize()

    row = frame_row(gpu.name, "rd resnet18 256x256, torch", kind, f"torch {torch.__version__}", through)
    assert np.isfinite(result.item())
    return row


def _captured(work: Callable[[], object]) -> torch.cuda.CUDAGraph:
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
