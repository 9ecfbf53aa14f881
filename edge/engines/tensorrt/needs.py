"""Look for what TensorRT needs on a box, for `doctor`. Only the standard library is imported before that."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.finding import Finding, jetpack, look_for_package, look_for_program

DRIVER = Path("/proc/driver/nvidia/version")
DRIVER_FOR_CUDA_13 = 580
"""Oldest major version of NVIDIA's driver that runs programs for CUDA 13."""


def look_for_tensorrt() -> list[Finding]:
    """Look for the GPU, for TensorRT, and for the tools that build engines and kernels."""
    release = jetpack()
    return [
        _gpu(),
        look_for_package("tensorrt", tensorrt_remedy(release, driver())),
        look_for_package("onnx", "pip install onnx; only for INT8 with TensorRT before 10, as in JetPack 6.0"),
        _nvcc(release),
        look_for_package("pycuda", pycuda_remedy(release)),
    ]


def driver(path: Path = DRIVER) -> int | None:
    """Return the major version of NVIDIA's driver for servers and PCs, such as 580; `None` if there is none."""
    found = re.search(r"Kernel Module.*?\s(\d+)\.\d+", path.read_text()) if path.is_file() else None
    return int(found[1]) if found else None


def tensorrt_remedy(jetpack: int | None, driver: int | None) -> str:
    """Return the command that installs TensorRT. A Jetson's own package needs a venv with the system's packages.

    Args:
        jetpack: Major version of JetPack; `None` if the box is not a Jetson.
        driver: Major version of NVIDIA's driver; `None` if it is unknown. It decides for which CUDA TensorRT must be.
    """
    if jetpack is not None:
        return "sudo apt install python3-libnvinfer, and a venv made with --system-site-packages; pip's is for servers"
    if driver is None:
        return (
            f"pip install 'edge-inspect[tensorrt-cu12]', or tensorrt-cu13 with an NVIDIA driver {DRIVER_FOR_CUDA_13} "
            "or newer; on a Jetson: sudo apt install python3-libnvinfer"
        )
    cuda = 13 if driver >= DRIVER_FOR_CUDA_13 else 12
    return f"pip install 'edge-inspect[tensorrt-cu{cuda}]', which the NVIDIA driver {driver} can run"


def pycuda_remedy(jetpack: int | None) -> str:
    """Return the command that installs pycuda. It is compiled on the box; CUDA 13 needs a recent version."""
    wanted = "'pycuda>=2026.1'" if jetpack == 7 else "pycuda"
    return f"PATH=/usr/local/cuda/bin:$PATH pip install {wanted} (it needs nvcc)"


def toolkit_remedy(jetpack: int | None) -> str:
    """Return the command that installs nvcc."""
    package = {6: "cuda-toolkit-12-6 (JetPack 6.0: cuda-toolkit-12-2)", 7: "cuda-toolkit-13-0"}.get(jetpack or 0)
    package = package or "nvidia-cuda-toolkit"
    return f"sudo apt install {package}; pycuda's installation and the service's GPU kernels need it"


def _gpu() -> Finding:
    """Return the first NVIDIA device. If pycuda is installed, its name is the one in the engine cache's keys."""
    try:
        from edge_inspect.edge.cuda import Cuda

        return Finding("gpu", True, str(Cuda().gpu))
    except (EngineError, ImportError) as error:
        for name in ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu/igpu0"):
            if Path(name).exists():
                return Finding("gpu", True, f"{name}; its name cannot be read: {error}")
    return Finding("gpu", False, "no NVIDIA device; the OpenVINO engine runs on the processor")


def _nvcc(release: int | None) -> Finding:
    found = look_for_program("nvcc", toolkit_remedy(release))
    if not found.found:
        return found
    said = subprocess.run([found.detail, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"release ([\d.]+)", said)
    return Finding("nvcc", True, f"CUDA {version[1]}, {found.detail}" if version else found.detail)
