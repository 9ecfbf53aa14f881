"""CUDA, as far as an engine needs it: a GPU, its memory, kernels, streams and graphs. Only here is pycuda.

pycuda has no call for graphs; those four are made on the driver's library, which it has loaded already.

A context belongs to the thread that pushed it, and the engine runs in another thread than the one that opens it: every
use stands inside `with cuda.current():`.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.kernels.cubin import load_cubin
from edge_inspect.edge.kernels.launch import Launch

REMEDY = "pip install pycuda; it needs nvcc: JetPack's cuda-toolkit, with /usr/local/cuda/bin in PATH"
_THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do meanwhile neither joins nor breaks a capture."""


@dataclass(frozen=True)
class Gpu:
    """A GPU and its driver.

    Attributes:
        name: As the driver says it: `Orin`, `NVIDIA H200`.
        capability: Compute capability, such as (8, 7).
        cuda: The newest CUDA its driver runs, such as `12.6`.
        memory_mb: Device memory in megabytes (1e6); on a Jetson all memory.
    """

    name: str
    capability: tuple[int, int]
    cuda: str
    memory_mb: int

    def __str__(self) -> str:
        major, minor = self.capability
        return f"{self.name}, compute capability {major}.{minor}, {self.memory_mb} MB, driver for CUDA {self.cuda}"


class Graph:
    """A captured sequence of device work.

    Attributes:
        launch: Begins all of it.
        free: Gives back what the driver keeps for it; it must not be running.
    """

    def __init__(self, launch: Callable[[], None], free: Callable[[], None]) -> None:
        self.launch, self.free = launch, free


class Kernels:
    """The kernels of edge/kernels, loaded."""

    def __init__(self, driver: Any, cubin: bytes) -> None:
        self._module = driver.module_from_buffer(cubin)
        self._functions: dict[str, Any] = {}

    def function(self, name: str) -> Any:
        """Return a kernel, looked up once."""
        if name not in self._functions:
            self._functions[name] = self._module.get_function(name)
        return self._functions[name]


class Stream:
    """Work that the device does in order.

    Attributes:
        handle: The CUstream.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._stream = driver.Stream()
        self.handle = int(self._stream.handle)

    def upload(self, device: Any, host: NDArray[Any]) -> None:
        """Begin a copy from page-locked to device memory."""
        self._driver.memcpy_htod_async(device, host, self._stream)

    def download(self, host: NDArray[Any], device: Any) -> None:
        """Begin a copy from device to page-locked memory."""
        self._driver.memcpy_dtoh_async(host, device, self._stream)

    def launch(self, kernels: Kernels, launch: Launch) -> None:
        """Begin a kernel; its argument is copied now."""
        kernels.function(launch.kernel)(
            launch.parameters, grid=launch.grid, block=launch.block, shared=launch.shared, stream=self._stream
        )

    def synchronize(self) -> None:
        """Wait until all that was begun is done."""
        self._stream.synchronize()

    def capture(self, work: Callable[[], None]) -> Graph:
        """Record what `work` begins on this stream, instead of doing it.

        Raises:
            EngineError: The driver cannot record it.
        """
        cuda = ctypes.CDLL("libcuda.so.1")
        stream, graph, executable = ctypes.c_void_p(self.handle), ctypes.c_void_p(), ctypes.c_void_p()

        def succeed(status: int, call: str) -> None:
            if status:
                text = ctypes.c_char_p()
                cuda.cuGetErrorString(status, ctypes.byref(text))
                raise EngineError(explain(f"{call} failed: {(text.value or b'unknown error').decode()}"))

        succeed(cuda.cuStreamBeginCapture_v2(stream, _THREAD_LOCAL), "cuStreamBeginCapture")
        try:
            work()
        finally:  # otherwise the stream would go on recording
            status = cuda.cuStreamEndCapture(stream, ctypes.byref(graph))
        succeed(status, "cuStreamEndCapture")
        flags = ctypes.c_ulonglong(0)
        status = cuda.cuGraphInstantiateWithFlags(ctypes.byref(executable), graph, flags)
        cuda.cuGraphDestroy(graph)
        succeed(status, "cuGraphInstantiate")
        return Graph(
            lambda: succeed(cuda.cuGraphLaunch(executable, stream), "cuGraphLaunch"),
            lambda: succeed(cuda.cuGraphExecDestroy(executable), "cuGraphExecDestroy"),
        )


class Cuda:
    """The first GPU of this box, through its primary context, which TensorRT uses too.

    Memory goes back when nothing refers to it any more, if that happens inside `current()`; elsewhere pycuda keeps it.

    Attributes:
        gpu: Which one it is.

    Raises:
        EngineError: There is no pycuda, no driver or no device.
    """

    def __init__(self) -> None:
        self._driver = _load_pycuda()
        self._kernels: Kernels | None = None
        try:
            self._driver.init()
            device = self._driver.Device(0)
            version = int(self._driver.get_driver_version())
            self.gpu = Gpu(
                str(device.name()),
                tuple(device.compute_capability()),
                f"{version // 1000}.{version % 1000 // 10}",
                int(device.total_memory() / 1e6),
            )
            self._context = device.retain_primary_context()
        except self._driver.Error as error:
            raise EngineError(explain(str(error))) from error

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Make the device this thread's for a block, and what CUDA says in it the service's own error.

        Raises:
            EngineError: CUDA failed inside the block; the message has the remedy.
        """
        try:
            self._context.push()
            try:
                yield
            finally:
                self._context.pop()
        except self._driver.Error as error:
            raise EngineError(explain(str(error))) from error

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Allocate page-locked memory, which copies without the driver's own buffer in between."""
        array: NDArray[Any] = self._driver.pagelocked_empty(shape, np.dtype(dtype))
        return array

    def allocate(self, nbytes: int) -> Any:
        """Allocate device memory; `int` of it is its address."""
        return self._driver.mem_alloc(nbytes)

    def stream(self) -> Stream:
        """Make a new stream."""
        return Stream(self._driver)

    def kernels(self, folder: Path) -> Kernels:
        """Return the kernels for this GPU, loaded once.

        Args:
            folder: Where their machine code is kept, or will be.

        Raises:
            EngineError: They cannot be compiled here; the message has the remedy.
        """
        if self._kernels is None:
            self._kernels = Kernels(self._driver, load_cubin(self.gpu.capability, folder))
        return self._kernels


def explain(said: str) -> str:
    """Return what the driver said, and what to do about it."""
    broken = "the GPU is in an undefined state; restart the service, and the box if that does not help (dmesg says why)"
    remedies = {
        "out of memory": "other programs hold the GPU's memory: end them, or choose engine: {name: openvino}",
        "driver": "driver and CUDA do not fit together: reboot after an update, else update the driver",
        "device is detected": "no NVIDIA GPU is visible here",
        "no device": "no NVIDIA GPU is visible here",
        "ECC": "the GPU's memory is failing: restart the box, and exchange the GPU if it comes again",
        "launch": broken,
        "illegal": broken,
        "lost": broken,
        "unknown error": broken,
    }
    remedy = next((remedy for word, remedy in remedies.items() if word in said), "see edge-inspect doctor")
    return f"CUDA: {said}; {remedy}"


def _load_pycuda() -> Any:
    try:
        return importlib.import_module("pycuda.driver")
    except ModuleNotFoundError as error:
        raise EngineError(f"pycuda is not installed: {error}; {REMEDY}") from error
    except Exception as error:  # without libcuda.so.1 it is an ImportError; a broken build fails with whatever it likes
        raise EngineError(
            f"pycuda cannot be loaded: {error}; an NVIDIA driver and a pycuda built here are needed"
        ) from (error)
