"""A launch: which kernel, how many threads, and its one argument; and how the kernels are compiled.

Every kernel takes one C structure by value. `Launch.parameters` holds its bytes, so any binding can launch it: pycuda
takes the array as it is, cuLaunchKernel its address.
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
"""Xavier (CUDA 12 and older), Orin, H100 and H200, Thor (CUDA 13 and newer)."""

COMPILE = ("-std=c++17", "-O3")
"""Options of nvcc. None for fast mathematics: the score must be the reference's, and NaN must stay NaN."""

Size3 = tuple[int, int, int]


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel.

    Attributes:
        kernel: Its name.
        grid: Blocks in x, y, z.
        block: Threads of a block in x, y, z.
        shared: Dynamic shared memory of a block, bytes.
        parameters: Its argument, one structure: (1,) of a structured dtype laid out as C does it.
    """

    kernel: str
    grid: Size3
    block: Size3
    parameters: NDArray[Any]
    shared: int = 0


def structure(fields: Sequence[tuple[Any, ...]]) -> np.dtype[Any]:
    """Return a C structure of (name, type) or (name, type, shape); pointers are `u8`."""
    return np.dtype(list(fields), align=True)


def blocks(count: int, size: int) -> int:
    """Return how many blocks of `size` cover `count`."""
    return -(-count // size)
