"""The kernels on a real GPU, launched on numpy's arrays by copies of them.

    python -m pytest tests/kernels/test_{distance,head,preprocess}.py --card

Under `compute-sanitizer --tool memcheck` and `--tool racecheck` they are what it watches. Needs an NVIDIA GPU, nvcc and
cuda-bindings, which torch brings.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from cuda.bindings import driver

from edge_inspect.edge.kernels.cubin import load_cubin
from edge_inspect.edge.kernels.launch import Launch

_ALIGNED = 16  # bytes that one load brings

ROUNDS, WARM_UP = 30, 3


def build_for_card(folder: Path) -> Path:
    """Compiles the kernels for the first GPU to a cubin in `folder`."""
    checked(driver.cuInit(0))
    device = checked(driver.cuDeviceGet(0))
    sides = ("MAJOR", "MINOR")
    names = [getattr(driver.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_{side}") for side in sides]
    major, minor = (int(checked(driver.cuDeviceGetAttribute(name, device))) for name in names)
    load_cubin((major, minor), folder)
    (made,) = folder.glob("*.cubin")
    return made


class Gpu:
    """Launches kernels on arrays that stay on the GPU.

    An array's memory there begins as far from a multiple of 16 as its own, and has its size: what is read or written
    outside of it, compute-sanitizer sees.

    Attributes:
        name: The card's.
        stream: Where launches go; the default stream at first.
    """

    def __init__(self, cubin: Path) -> None:
        self._there: dict[int, tuple[np.ndarray, int, Any]] = {}
        checked(driver.cuInit(0))
        device = checked(driver.cuDeviceGet(0))
        self.name = checked(driver.cuDeviceGetName(128, device)).split(b"\0")[0].decode()
        self.stream: Any = 0
        checked(driver.cuCtxSetCurrent(checked(driver.cuDevicePrimaryCtxRetain(device))))
        self._module = checked(driver.cuModuleLoadData(cubin.read_bytes()))
        self._functions: dict[str, Any] = {}

    def address(self, array: np.ndarray) -> int:
        """Return the array's address on the GPU. The first call copies it there."""
        key = array.ctypes.data
        if key not in self._there:
            shift = key % _ALIGNED
            memory = checked(driver.cuMemAlloc(shift + _extent(array)))
            self._there[key] = array, int(memory) + shift, memory
            self._upload(array)
        known, address, _ = self._there[key]
        assert _extent(known) == _extent(array)
        return address

    def run(self, launch: Launch) -> None:
        """Begins one kernel."""
        if launch.kernel not in self._functions:
            self._functions[launch.kernel] = checked(driver.cuModuleGetFunction(self._module, launch.kernel.encode()))
        arguments = np.array([launch.parameters.ctypes.data], np.uint64)
        function, where = self._functions[launch.kernel], arguments.ctypes.data
        checked(driver.cuLaunchKernel(function, *launch.grid, *launch.block, launch.shared, self.stream, where, 0))

    def fetch(self, array: np.ndarray) -> np.ndarray:
        """Wait for all work, and copy the array's content back from the GPU."""
        checked(driver.cuCtxSynchronize())
        checked(driver.cuMemcpyDtoH(array.ctypes.data, self.address(array), _extent(array)))
        return array

    def _upload(self, array: np.ndarray) -> None:
        checked(driver.cuMemcpyHtoD(self.address(array), array.ctypes.data, _extent(array)))

    def __del__(self) -> None:
        for _, _, memory in self._there.values():
            driver.cuMemFree(memory)


class Card(Gpu):
    """Launches kernels as the shim does: every array is copied to the GPU before a launch and back after it."""

    def run(self, launch: Launch) -> None:
        """Launches one kernel and waits for it."""
        arrays = [array for array, _, _ in self._there.values()]
        for array in arrays:
            self._upload(array)
        super().run(launch)
        for array in arrays:
            if array.flags.writeable:
                self.fetch(array)


def microseconds(stream: Any, work: Callable[[], object]) -> float:
    """Return the time between events around `work` on a stream: the median of 30 runs, after 3 warm-up runs."""
    before, after = (checked(driver.cuEventCreate(0)) for _ in range(2))
    taken = []
    for _ in range(WARM_UP + ROUNDS):
        checked(driver.cuEventRecord(before, stream))
        work()
        checked(driver.cuEventRecord(after, stream))
        checked(driver.cuEventSynchronize(after))
        taken.append(checked(driver.cuEventElapsedTime(before, after)) * 1000)
    return median(taken[WARM_UP:])


def _extent(array: np.ndarray) -> int:
    """Return the number of bytes from the first to the last one, including gaps between rows."""
    return int(sum((n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)) + array.itemsize)


def checked(result: tuple[Any, ...]) -> Any:
    """Return the result of a driver call.

    Raises:
        RuntimeError: It failed.
    """
    if result[0] != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(str(result[0]))
    return result[1] if len(result) > 1 else None
