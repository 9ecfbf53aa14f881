"""What this box has for edge-inspect and what it lacks."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edge_inspect.edge.dependencies import NEEDED, remedy
from edge_inspect.edge.errors import CameraError, EngineError
from edge_inspect.edge.processor import features
from edge_inspect.edge.sinks import SINKS, load_sink

# Beside the standard library nothing is imported before it is looked at: doctor speaks where nothing else loads.

JETPACK = {"R36": 6, "R38": 7, "R39": 7}
"""By the release of Linux for Tegra."""

USED = {
    "numpy": "from numpy import __version__",
    "cv2": "from cv2 import __version__, imdecode",
    "simplejpeg": "from simplejpeg import __version__, decode_jpeg",
    "yaml": "from yaml import __version__, safe_load",
    "paho": "from paho.mqtt import __version__; from paho.mqtt.enums import CallbackAPIVersion",
    "pydantic": "from pydantic import VERSION as __version__, BaseModel",
    "openvino": "from openvino import __version__, opset13, Core; Core().available_devices",
    "cryptography": (
        "from cryptography import __version__; from cryptography.hazmat.primitives.asymmetric.ed25519 import *"
    ),
}
"""What is imported of each needed module, and run where importing is not enough."""

ACCELERATED = ("amx_int8", "avx512_vnni", "avx_vnni", "asimddp")


@dataclass(frozen=True)
class Finding:
    """One thing looked for.

    Attributes:
        what: Its name.
        found: Whether it is there and loads.
        detail: Its version, or the command that brings it.
        needed: Whether every box needs it.
    """

    what: str
    found: bool
    detail: str
    needed: bool = False

    def __str__(self) -> str:
        mark = "ok" if self.found else "MISSING" if self.needed else "not here"
        return f"{mark:8}  {self.what:12} {self.detail}"


def examine() -> list[Finding]:
    """Look at Python, processor, packages, GPU, cameras and systemd; never fail for want of one."""
    tegra = Path("/etc/nv_tegra_release")
    jetson = tegra.read_text().splitlines()[0].lstrip("# ") if tegra.is_file() else ""
    jetpack = JETPACK.get(jetson[:3])
    python = f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} processors, {sys.executable}"
    system = [
        Finding("python", True, python),
        _processor(),
    ]
    if jetson:
        system.append(Finding("jetson", True, jetson + (f" (JetPack {jetpack})" if jetpack else "")))
    needed = [_needed(module) for module in NEEDED]
    whole = all(finding.found for finding in needed)
    return [
        *system,
        *needed,
        _engine(whole),
        _gpu(),
        _package("tensorrt", tensorrt_remedy(jetpack)),
        _package("onnx", "pip install onnx; only for INT8 with TensorRT before 10, JetPack 6.0's"),
        _cuda(jetpack),
        _package("pycuda", pycuda_remedy(jetpack)),
        _gstreamer(whole),
        _introspected(whole, "aravis", "aravis", ("Aravis", "0.8")),
        _package("harvesters", "pip install 'edge-inspect[genicam]'; only for genicam: cameras"),
        *(_sink(name, whole) for name in SINKS),
        _package("gpiod", "pip install 'edge-inspect[gpio]'; only for gpio: triggers"),
        _program("mosquitto", "apt-get install mosquitto; only where this box is also the broker"),
        _program("systemctl", "the service needs systemd to start with the box"),
    ]


def _processor() -> Finding:
    had = features()
    found = [flag for flag in ACCELERATED if flag in had]
    detail = ", ".join(found) if found else "none of " + ", ".join(ACCELERATED) + ": INT8 gains less on this processor"
    return Finding("int8 units", bool(found), detail)


def _needed(module: str) -> Finding:
    """Import a module that every box needs, in a process of its own: one of another processor's kills that."""
    code = f"import edge; {USED[module]}; print(__version__)"  # edge keeps OpenVINO from telling the internet
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode < 0:
        cause = ": it is for another processor" if done.returncode == -signal.SIGILL else ""
        how = f"import {module} is killed by {signal.Signals(-done.returncode).name}{cause}"
        return Finding(module, False, f"{how}; pip install --force-reinstall '{NEEDED[module]}'", True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return Finding(module, False, f"{said.partition(': ')[2] or said}; {remedy(module, done.stderr)}", True)
    version = done.stdout.split()[-1]
    # Where an OpenCV loads its version does not matter: JetPack's own is older than the one that pip would bring.
    if module != "cv2" and _numbers(version) < _numbers(NEEDED[module].partition(">=")[2]):
        return Finding(module, False, f"{version} is too old: pip install '{NEEDED[module]}'", True)
    return Finding(module, True, version, True)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version.partition("-")[0])[:3]]


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
    """Return the command that brings TensorRT: on a Jetson its own package, which needs a venv with the system's."""
    if jetpack is None:
        return "pip install 'edge-inspect[tensorrt]'; on a Jetson: sudo apt install python3-libnvinfer"
    return "sudo apt install python3-libnvinfer, and a venv made with --system-site-packages; pip's is for servers"


def pycuda_remedy(jetpack: int | None) -> str:
    """Return the command that brings pycuda, which is compiled where it is installed; CUDA 13 needs a new one."""
    wanted = "'pycuda>=2026.1'" if jetpack == 7 else "pycuda"
    return f"PATH=/usr/local/cuda/bin:$PATH pip install {wanted} (it needs nvcc)"


def toolkit_remedy(jetpack: int | None) -> str:
    """Return the command that brings nvcc."""
    package = {6: "cuda-toolkit-12-6 (JetPack 6.0: cuda-toolkit-12-2)", 7: "cuda-toolkit-13-0"}.get(jetpack or 0)
    package = package or "nvidia-cuda-toolkit"
    return f"sudo apt install {package}; pycuda's installation and the service's GPU kernels need it"


def _gpu() -> Finding:
    """Return the first NVIDIA device, by the name that engines are kept under where pycuda can ask for it."""
    try:
        from edge_inspect.edge.cuda import Cuda

        return Finding("gpu", True, str(Cuda().gpu))
    except (EngineError, ImportError) as error:
        for name in ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu/igpu0"):
            if Path(name).exists():
                return Finding("gpu", True, f"{name}; its name is not known: {error}")
    return Finding("gpu", False, "no NVIDIA device; the OpenVINO engine runs on the processor")


def _engine(whole: bool) -> Finding:
    if not whole:
        return Finding("engine", False, "none runs before what is missing above is there", True)
    try:
        from edge_inspect.edge.engines import best_engine

        importlib.import_module("edge_inspect.edge.engines.openvino")
        name = best_engine()
    except Exception as error:  # a package that is broken fails with whatever it likes
        return Finding("engine", False, f"none runs: {error}", True)
    return Finding("engine", True, f"{name} is what the service runs here; edge-inspect selftest tries it", True)


def _gstreamer(whole: bool) -> Finding:
    """Return what runs the pipelines of `gst:`, in the order in which the camera takes them."""
    found = _introspected(whole, "gstreamer", "gst", ("Gst", "1.0"), ("GstApp", "1.0"))
    if whole and not found.found:
        try:
            import cv2

            if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
                return Finding("gstreamer", True, "by OpenCV, which does not know when a frame was taken")
        except Exception:  # a broken OpenCV is a finding of its own
            pass
    return found


def _introspected(whole: bool, what: str, scheme: str, *namespaces: tuple[str, str]) -> Finding:
    if not whole:
        return Finding(what, False, "not looked for before what is missing above is there")
    try:
        from edge_inspect.edge.cameras.introspection import load

        for name, version in namespaces:
            load(name, version)
    except CameraError as error:
        return Finding(what, False, f"{str(error).removeprefix('camera: ')}; only for {scheme}: cameras")
    except Exception as error:  # what is there is broken
        return Finding(what, False, f"does not load: {error}")
    return Finding(what, True, f"{namespaces[0][0]} {namespaces[0][1]} by introspection")


def _sink(name: str, whole: bool) -> Finding:
    """Return whether messages can go to a sink: whether its module loads."""
    if not whole:
        return Finding(f"sink {name}", False, "not looked for before what is missing above is there")
    try:
        load_sink(name)
    except Exception as error:  # a package that is broken fails with whatever it likes
        return Finding(f"sink {name}", False, f"does not load: {error}; only where the configuration says sink: {name}")
    return Finding(f"sink {name}", True, f"takes messages where the configuration says sink: {name}")


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
