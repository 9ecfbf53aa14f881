"""The launch of a kernel: its name, its threads and its argument. Also the options with which kernels are compiled.

The argument of every kernel is one C structure, passed by value. `Launch.parameters` holds its bytes, so any binding
can launch the kernel: pycuda gets the array, cuLaunchKernel its address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
SOURCES = (FOLDER / "preprocess.cu", FOLDER / "discrepancy.cu")

ARCHITECTURES = ("sm_72", "sm_87", "sm_90", "sm_110")
"""Architectures of Xavier (CUDA 12 and older), Orin, H100 and H200, and Thor (CUDA 13 and newer)."""

COMPILE = ("-std=c++17", "-O3")
"""Options of nvcc. Fast mathematics is off, because scores must match the reference's and NaN must stay NaN."""

Size3 = tuple[int, int, int]


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel.

    Attributes:
        kernel: Name of the kernel.
        grid: Number of blocks in x, y and z.
        block: Number of threads of a block in x, y and z.
        parameters: Argument of the kernel: one structure, (1,) of a structured dtype with the layout of C.
        shared: Dynamic shared memory of a block in bytes.
    """

    kernel: str
    grid: Size3
    block: Size3
    parameters: NDArray[Any]
    shared: int = 0


def structure(fields: Sequence[tuple[Any, ...]]) -> np.dtype[Any]:
    """Return the dtype of a C structure with the given (name, type) or (name, type, shape); pointers are `u8`."""
    return np.dtype(list(fields), align=True)


def blocks(count: int, size: int) -> int:
    """Return the number of blocks of `size` that cover `count`."""
    return -(-count // size)
