"""The kernels on a real GPU, launched as tests/kernels/host.py launches them: on numpy's arrays, by copies of them.

    python -m pytest tests/kernels/test_{distance,head,preprocess}.py --card

Under `compute-sanitizer --tool memcheck` and `--tool racecheck` they are what it watches. Needs an NVIDIA GPU, nvcc and
cuda-bindings, which torch brings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from cuda.bindings import driver

from edge.kernels.cubin import load_cubin
from edge.kernels.launch import Launch

_ALIGNED = 16  # bytes that one load brings


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


class Card:
    """Launches kernels; every array that has been given an address is there during the launch, and comes back after it.

    An array's memory on the GPU begins as far from a multiple of 16 as its own, and has its size: what is read or
    written outside of it, compute-sanitizer sees.
    """

    def __init__(self, cubin: Path) -> None:
        checked(driver.cuInit(0))
        self._context = checked(driver.cuDevicePrimaryCtxRetain(0))
        checked(driver.cuCtxSetCurrent(self._context))
        self._module = checked(driver.cuModuleLoadData(cubin.read_bytes()))
        self._there: dict[int, tuple[np.ndarray, int, Any]] = {}

    def address(self, array: np.ndarray) -> int:
        """Where the array lies during every launch from now on."""
        key = array.ctypes.data
        if key not in self._there:
            shift = key % _ALIGNED
            memory = checked(driver.cuMemAlloc(shift + _extent(array)))
            self._there[key] = array, int(memory) + shift, memory
        known, address, _ = self._there[key]
        assert _extent(known) == _extent(array)
        return address

    def run(self, launch: Launch) -> None:
        """Launches one kernel and waits for it."""
        function = checked(driver.cuModuleGetFunction(self._module, launch.kernel.encode()))
        arguments = np.array([launch.parameters.ctypes.data], np.uint64)
        for array, address, _ in self._there.values():
            checked(driver.cuMemcpyHtoD(address, array.ctypes.data, _extent(array)))
        checked(
            driver.cuLaunchKernel(function, *launch.grid, *launch.block, launch.shared, 0, arguments.ctypes.data, 0)
        )
        checked(driver.cuCtxSynchronize())
        for array, address, _ in self._there.values():
            if array.flags.writeable:
                checked(driver.cuMemcpyDtoH(array.ctypes.data, address, _extent(array)))

    def __del__(self) -> None:
        for _, _, memory in self._there.values():
            driver.cuMemFree(memory)


def _extent(array: np.ndarray) -> int:
    """Bytes from the first to the last, the gaps between rows among them."""
    return int(sum((n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)) + array.itemsize)


def checked(result: tuple[Any, ...]) -> Any:
    """What a driver call gave.

    Raises:
        RuntimeError: It failed.
    """
    if result[0] != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(str(result[0]))
    return result[1] if len(result) > 1 else None
