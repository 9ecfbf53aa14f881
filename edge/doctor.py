"""What this box has for edge-inspect and what it lacks."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

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
    """Looks at Python, processor, packages, GPU and systemd; never fails for want of one."""
    jetson = Path("/etc/nv_tegra_release")
    system = [
        Finding("python", True, f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} processors"),
        _processor(),
    ]
    if jetson.is_file():
        system.append(Finding("jetson", True, jetson.read_text().splitlines()[0].lstrip("# ")))
    return [
        *system,
        _package("openvino", "pip install openvino"),
        _package("cv2", "pip install opencv-python, or JetPack's own with --system-site-packages"),
        _package("paho.mqtt", "pip install paho-mqtt"),
        _package("cryptography", "pip install cryptography; it checks the signatures of bundles"),
        _gpu(),
        _package("tensorrt", "JetPack: apt install python3-libnvinfer; elsewhere pip install edge-inspect[tensorrt]"),
        _package("pycuda", "pip install pycuda (needs nvcc: JetPack's cuda-toolkit)"),
        _program("nvcc", "JetPack: apt install nvidia-jetpack; only pycuda's installation needs it"),
        _program("mosquitto", "apt install mosquitto; only where this box is also the broker"),
        _program("systemctl", "the service needs systemd to start with the box"),
    ]


def _processor() -> Finding:
    information = Path("/proc/cpuinfo")
    words = set(information.read_text().split()) if information.is_file() else set()
    found = [flag for flag in ACCELERATED if flag in words]
    detail = ", ".join(found) if found else "none of " + ", ".join(ACCELERATED) + ": INT8 gains less on this processor"
    return Finding("int8 units", bool(found), detail)


def _package(name: str, remedy: str) -> Finding:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError:
        return Finding(name, False, remedy)
    except Exception as error:  # a package without its shared libraries fails with whatever it likes
        return Finding(name, False, f"{error}; {remedy}")
    return Finding(name, True, str(getattr(module, "__version__", "")))


def _gpu() -> Finding:
    for name in ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu/igpu0"):
        if Path(name).exists():
            return Finding("gpu", True, name)
    return Finding("gpu", False, "no NVIDIA device; the OpenVINO engine runs on the processor")


def _program(name: str, remedy: str) -> Finding:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/cuda/bin")
    return Finding(name, path is not None, path or remedy)
