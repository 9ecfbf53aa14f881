"""The kernels' own code on the host: built with g++ against tests/kernels/shim, launched on numpy's memory."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from edge_inspect.edge.frame.tiles import Grid
from edge_inspect.edge.kernels.discrepancy import (
    Band,
    FeaturePair,
    Kind,
    Layout,
    distance,
    head_launch,
    head_tables,
    patches,
)
from edge_inspect.edge.kernels.launch import Launch

SHIM = Path(__file__).parent / "shim"
OPTIONS = ("-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-fno-strict-aliasing")
# Else templates' static variables, shared memory among them, are one for all libraries of a process.
OPTIONS += ("-fno-gnu-unique",)
SOURCES = ("kernels.cpp", "fibers.cpp")


class KernelFault(Exception):
    """The shim found that a kernel did something that is not allowed on a GPU."""


def compiler() -> str | None:
    """Return the C++ compiler, if there is one."""
    return shutil.which("g++")


def build(folder: Path, *options: str) -> Path:
    """Compiles kernels and shim to a library in `folder`."""
    library = folder / "kernels.so"
    words = [*OPTIONS, *options, "-fPIC", "-shared", f"-I{SHIM}", "-include", "device.h", "-x", "c++"]
    sources = [str(SHIM / name) for name in SOURCES]
    done = subprocess.run(
        [str(compiler()), *words, *sources, "-o", str(library)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return library


class Host:
    """Launches kernels; `seed` picks the order in which blocks and threads run, 0 is the plain one."""

    def __init__(self, library: Path, seed: int = 0) -> None:
        self._launch = ctypes.CDLL(str(library)).shim_launch
        self._launch.restype = None
        self.seed = seed

    def address(self, array: np.ndarray) -> int:
        """Return the array's address, which is the same for the kernels."""
        return int(array.ctypes.data)

    def run(self, launch: Launch) -> None:
        """Launches one kernel and waits for it.

        Raises:
            KernelFault: It did what a GPU must not be asked for.
        """
        error = ctypes.create_string_buffer(512)
        triple = ctypes.c_uint * 3
        parameters = launch.parameters
        self._launch(
            launch.kernel.encode(),
            triple(*launch.grid),
            triple(*launch.block),
            ctypes.c_size_t(launch.shared),
            ctypes.c_void_p(parameters.ctypes.data),
            ctypes.c_size_t(parameters.nbytes),
            ctypes.c_uint(self.seed),
            error,
            ctypes.c_size_t(len(error)),
        )
        if error.value:
            raise KernelFault(f"{launch.kernel}: {error.value.decode()}")


class Runner(Protocol):
    """A launcher of kernels on numpy's arrays: `Host`, or tests/kernels/card.py on a GPU."""

    def address(self, array: np.ndarray) -> int:
        """Return the address of the array for a launch."""

    def run(self, launch: Launch) -> None:
        """Launches one kernel and waits for it."""


def runner(library: Path, seed: int = 0) -> Runner:
    """Return the launcher for the fixture `library`: the shim's library, or a cubin."""
    if library.suffix == ".so":
        return Host(library, seed)
    from kernels.card import Card

    return Card(library)


def features(shapes: Sequence[tuple[int, int, int]], images: int, dtype: type, seed: int = 0) -> list[list[np.ndarray]]:
    """Return features of teacher and student after ReLU, as close to each other as in a trained model."""
    rng = np.random.default_rng(seed)
    teacher = [np.maximum(rng.standard_normal((images, *shape)), 0) for shape in shapes]
    student = [np.maximum(t + 0.3 * rng.standard_normal(t.shape), 0) for t in teacher]
    return [[f.astype(dtype) for f in side] for side in (teacher, student)]


def distances(
    host: Runner,
    teacher: Sequence[np.ndarray],
    student: Sequence[np.ndarray],
    *,
    layout: Layout = "nchw",
    grid: tuple[int, int] = (1, 1),
) -> list[np.ndarray]:
    """The low-resolution maps of features (images, channels, height, width): (frames, rows h, columns w) float32."""
    columns, rows = grid
    kind: Kind = "float16" if teacher[0].dtype == np.float16 else "float32"
    kept, scales, maps = [], [], []
    for pair in zip(teacher, student, strict=True):
        images, channels, h, w = pair[0].shape
        if layout == "nhwc":
            pair = tuple(side.transpose(0, 2, 3, 1) for side in pair)
        kept += [np.ascontiguousarray(side) for side in pair]
        maps.append(np.full((images // (columns * rows), rows * h, columns * w), -7, np.float32))
        addresses = [host.address(array) for array in (*kept[-2:], maps[-1])]
        scales.append(FeaturePair(*addresses, channels=channels, height=h, width=w))
    host.run(distance(scales, images, kind=kind, layout=layout, columns=columns))
    return maps


class HeadRun:
    """The head and its buffers. After a launch they are ready for the next one.

    Attributes:
        map: (frames, canvas height, canvas width) float32.
        mask: Likewise, uint8.
        score: (frames,) float32.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], grid: Grid, frames: int, sigma: float = 4.0) -> None:
        width, height = grid.canvas
        self.grid, self.frames = grid, frames
        self.tables: list[Band] = head_tables(sizes, grid, sigma)
        self.map = np.full((frames, height, width), -7, np.float32)
        self.mask = np.full((frames, height, width), 7, np.uint8)
        self.score = np.full(frames, -7, np.float32)
        self._peaks = np.zeros((frames, patches(grid)), np.uint32)
        self._done = np.zeros(frames, np.uint32)

    def __call__(
        self,
        host: Runner,
        maps: Sequence[np.ndarray],
        *,
        valid: tuple[int, int, int, int] | None = None,
        top: int = 1,
        threshold: float = 1.0,
        weights: np.ndarray | None = None,
    ) -> None:
        """Runs it on the low-resolution maps."""
        self._peaks.fill(0xFFFFFFFF)  # not a number: one that is read before it is written shows in the score
        named = (("map", self.map), ("mask", self.mask), ("score", self.score))
        outputs = {name: host.address(array) for name, array in (*named, ("peaks", self._peaks), ("done", self._done))}
        addresses = [
            {"map": host.address(m)} | {name: host.address(array) for name, array in band.arrays.items()}
            for m, band in zip(maps, self.tables, strict=True)
        ]
        counted = None
        if weights is not None:
            outputs["weights"], counted = host.address(weights), int((weights > 0).sum())
        whole = valid or (0, 0, *self.grid.canvas)
        host.run(
            head_launch(
                self.tables,
                addresses,
                outputs,
                self.grid,
                self.frames,
                valid=whole,
                top=top,
                threshold=threshold,
                counted=counted,
            )
        )
