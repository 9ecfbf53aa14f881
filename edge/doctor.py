"""What this box has for edge-inspect and what it lacks."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edge.cuda import Cuda
from edge.errors import CameraError, EngineError
from edge.processor import features

JETPACK = {"R36": 6, "R38": 7, "R39": 7}
"""By the release of Linux for Tegra."""

ACCELERATED = ("amx_int8", "avx512_vnni", "avx_vnni", "asimddp")


@dataclass(frozen=True)
class Finding:
    """One thing looked for.

    Attributes:
        what: Its name.
        found: Whether it is there.
        detail: Its version, or the command that brings it.
    """

    what: str
    found: bool
    detail: str


def examine() -> list[Finding]:
    """Looks at Python, processor, packages, GPU, cameras and systemd; never fails for want of one."""
    tegra = Path("/etc/nv_tegra_release")
    jetson = tegra.read_text().splitlines()[0].lstrip("# ") if tegra.is_file() else ""
    jetpack = JETPACK.get(jetson[:3])
    system = [
        Finding("python", True, f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} processors"),
        _processor(),
    ]
    if jetson:
        system.append(Finding("jetson", True, jetson + (f" (JetPack {jetpack})" if jetpack else "")))
    return [
        *system,
        _package("openvino", "pip install openvino"),
        _package("cv2", "pip install opencv-python, or JetPack's own with --system-site-packages"),
        _package("paho.mqtt", "pip install paho-mqtt"),
        _package("cryptography", "pip install cryptography; it checks the signatures of bundles"),
        _gpu(),
        _package("tensorrt", tensorrt_remedy(jetpack)),
        _package("onnx", "pip install onnx; only for INT8 with TensorRT before 10, JetPack 6.0's"),
        _cuda(jetpack),
        _package("pycuda", pycuda_remedy(jetpack)),
        _engine(),
        _gstreamer(),
        _introspected("aravis", "aravis", ("Aravis", "0.8")),
        _package("harvesters", "pip install 'edge-inspect[genicam]'; only for genicam: cameras"),
        _package("gpiod", "pip install 'edge-inspect[gpio]'; only for gpio: triggers"),
        _program("mosquitto", "apt install mosquitto; only where this box is also the broker"),
        _program("systemctl", "the service needs systemd to start with the box"),
    ]


def _processor() -> Finding:
    had = features()
    found = [flag for flag in ACCELERATED if flag in had]
    detail = ", ".join(found) if found else "none of " + ", ".join(ACCELERATED) + ": INT8 gains less on this processor"
    return Finding("int8 units", bool(found), detail)


def _package(name: str, remedy: str) -> Finding:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError:
        return Finding(name, False, remedy)
    except Exception as error:  # a package without its shared libraries fails with whatever it likes
        return Finding(name, False, f"{error}; {remedy}")
    version = getattr(module, "__version__", None) or getattr(module, "VERSION_TEXT", "")  # the latter: pycuda
    return Finding(name, True, str(version))


def tensorrt_remedy(jetpack: int | None) -> str:
    """The command that brings TensorRT: on a Jetson its own package, which only a venv with the system's sees."""
    if jetpack is None:
        return "pip install edge-inspect[tensorrt]; on a Jetson: sudo apt install python3-libnvinfer"
    return "sudo apt install python3-libnvinfer, and a venv made with --system-site-packages; pip's is for servers"


def pycuda_remedy(jetpack: int | None) -> str:
    """The command that brings pycuda, which is compiled where it is installed; CUDA 13 needs a new one."""
    wanted = "'pycuda>=2026.1'" if jetpack == 7 else "pycuda"
    return f"PATH=/usr/local/cuda/bin:$PATH pip install {wanted} (it needs nvcc)"


def toolkit_remedy(jetpack: int | None) -> str:
    """The command that brings nvcc."""
    package = {6: "cuda-toolkit-12-6 (JetPack 6.0: cuda-toolkit-12-2)", 7: "cuda-toolkit-13-0"}.get(jetpack or 0)
    return f"sudo apt install {package or 'nvidia-cuda-toolkit'}; only pycuda's installation needs it"


def _gpu() -> Finding:
    """The first NVIDIA device, by the name that engines are kept under where pycuda can ask for it."""
    try:
        return Finding("gpu", True, str(Cuda().gpu))
    except EngineError as error:
        for name in ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu/igpu0"):
            if Path(name).exists():
                return Finding("gpu", True, f"{name}; its name is not known: {error}")
    return Finding("gpu", False, "no NVIDIA device; the OpenVINO engine runs on the processor")


def _engine() -> Finding:
    try:
        from edge.engines import best_engine

        return Finding("engine", True, f"{best_engine()} is what the service runs here")
    except ImportError as error:
        return Finding("engine", False, f"none runs before what is missing above is there: {error}")


def _gstreamer() -> Finding:
    """What runs the pipelines of `gst:`, in the order in which the camera takes them."""
    found = _introspected("gstreamer", "gst", ("Gst", "1.0"), ("GstApp", "1.0"))
    if not found.found:
        try:
            import cv2

            if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
                return Finding("gstreamer", True, "by OpenCV, which does not know when a frame was taken")
        except Exception:  # a broken OpenCV is a finding of its own
            pass
    return found


def _introspected(what: str, scheme: str, *namespaces: tuple[str, str]) -> Finding:
    try:
        from edge.cameras.introspection import load

        for name, version in namespaces:
            load(name, version)
    except CameraError as error:
        return Finding(what, False, f"{str(error).removeprefix('camera: ')}; only for {scheme}: cameras")
    except Exception as error:  # cv2 is missing, or what is there is broken
        return Finding(what, False, f"not looked for: {error}")
    return Finding(what, True, f"{namespaces[0][0]} {namespaces[0][1]} by introspection")


def _cuda(jetpack: int | None) -> Finding:
    found = _program("nvcc", toolkit_remedy(jetpack))
    if not found.found:
        return found
    said = subprocess.run([found.detail, "--version"], capture_output=True, text=True, check=False).stdout
    release = re.search(r"release ([\d.]+)", said)
    return Finding("nvcc", True, f"CUDA {release[1]}, {found.detail}" if release else found.detail)


def _program(name: str, remedy: str) -> Finding:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/cuda/bin")
    return Finding(name, path is not None, path or remedy)
