"""The parts of CUDA that an engine needs: a GPU, its memory, kernels, streams and graphs. Only this file uses pycuda.

pycuda has no calls for graphs. They are made directly to the driver's library, which pycuda has already loaded.

A context belongs to the thread that pushed it, and the engine is opened in one thread and runs in another. So every use
must be inside `with cuda.current():`.
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
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: calls of other threads are not captured and do not break the capture."""


@dataclass(frozen=True)
class Gpu:
    """A GPU and its driver.

    Attributes:
        name: Name that the driver reports, such as `Orin` or `NVIDIA H200`.
        capability: Compute capability, such as (8, 7).
        cuda: Newest CUDA version that the driver supports, such as `12.6`.
        memory_mb: Device memory in megabytes (1e6 bytes). On a Jetson it is the memory of the whole box.
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
        launch: Function that starts the whole sequence.
        free: Function that releases the driver's memory of the graph. The graph must not be running.
    """

    def __init__(self, launch: Callable[[], None], free: Callable[[], None]) -> None:
        self.launch, self.free = launch, free


class Kernels:
    """The kernels of edge/kernels, loaded on the GPU."""

    def __init__(self, driver: Any, cubin: bytes) -> None:
        self._module = driver.module_from_buffer(cubin)
        self._functions: dict[str, Any] = {}

    def function(self, name: str) -> Any:
        """Return a kernel by name; it is looked up only once."""
        if name not in self._functions:
            self._functions[name] = self._module.get_function(name)
        return self._functions[name]


class Stream:
    """A CUDA stream: the device does its work in order.

    Attributes:
        handle: The CUstream, as a number.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._stream = driver.Stream()
        self.handle = int(self._stream.handle)

    def upload(self, device: Any, host: NDArray[Any]) -> None:
        """Start a copy from page-locked to device memory."""
        self._driver.memcpy_htod_async(device, host, self._stream)

    def download(self, host: NDArray[Any], device: Any) -> None:
        """Start a copy from device to page-locked memory."""
        self._driver.memcpy_dtoh_async(host, device, self._stream)

    def launch(self, kernels: Kernels, launch: Launch) -> None:
        """Start a kernel. Its argument is copied during this call."""
        kernels.function(launch.kernel)(
            launch.parameters, grid=launch.grid, block=launch.block, shared=launch.shared, stream=self._stream
        )

    def synchronize(self) -> None:
        """Wait until all work on the stream is done."""
        self._stream.synchronize()

    def capture(self, work: Callable[[], None]) -> Graph:
        """Return a graph of all that `work` enqueues on this stream. The work is recorded but not done.

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
        finally:  # otherwise the stream would keep recording
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
    """The first GPU of this box, used through its primary context, which TensorRT uses too.

    Memory is released when the last reference to it ends inside `current()`. Outside it, pycuda would not release it.

    Attributes:
        gpu: Description of the GPU.

    Raises:
        EngineError: pycuda, the driver or the device is missing.
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
        """Make the GPU current in this thread for a block, and raise CUDA's errors in the block as `EngineError`.

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
        """Allocate page-locked memory, which is copied without an extra buffer of the driver."""
        array: NDArray[Any] = self._driver.pagelocked_empty(shape, np.dtype(dtype))
        return array

    def allocate(self, nbytes: int) -> Any:
        """Allocate device memory; `int()` of the result is its address."""
        return self._driver.mem_alloc(nbytes)

    def stream(self) -> Stream:
        """Return a new stream."""
        return Stream(self._driver)

    def kernels(self, folder: Path) -> Kernels:
        """Return the kernels for this GPU; they are loaded only once.

        Args:
            folder: Folder in which their machine code is kept.

        Raises:
            EngineError: The kernels cannot be compiled on this box; the message has the remedy.
        """
        if self._kernels is None:
            self._kernels = Kernels(self._driver, load_cubin(self.gpu.capability, folder))
        return self._kernels


def explain(said: str) -> str:
    """Return an error message with the driver's words and the remedy."""
    broken = "the GPU is in an undefined state; restart the service, and the box if that does not help (dmesg says why)"
    remedies = {
        "out of memory": "other programs hold the GPU's memory: end them, or choose engine: {name: openvino}",
        "driver": "driver and CUDA do not match: reboot after an update, otherwise update the driver",
        "device is detected": "no NVIDIA GPU is visible here",
        "no device": "no NVIDIA GPU is visible here",
        "ECC": "the GPU's memory has errors: restart the box, and replace the GPU if they come back",
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
    except Exception as error:  # without libcuda.so.1 an ImportError; a broken build can fail in any way
        raise EngineError(
            f"pycuda cannot be loaded: {error}; it needs an NVIDIA driver, and must have been built on this box"
        ) from error
