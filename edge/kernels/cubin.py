"""The kernels' machine code for one GPU. nvcc compiles it the first time, and later it is read from disk."""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
import tempfile
from pathlib import Path

from edge_inspect.edge.errors import EngineError
from edge_inspect.edge.files import write_atomically
from edge_inspect.edge.kernels.launch import COMPILE, FOLDER, SOURCES

log = logging.getLogger(__name__)

TOOLKIT = "/usr/local/cuda/bin"
"""Folder of nvcc in NVIDIA's packages, which is not in the PATH of a service."""


def load_cubin(capability: tuple[int, int], folder: Path) -> bytes:
    """Return all kernels as one cubin, from `kernels-<architecture>-<digest of sources, options and nvcc>.cubin`.

    Args:
        capability: Compute capability of the GPU.
        folder: Folder of that file. It is created at the first write, and only the service should be able to write
            there.

    Raises:
        EngineError: There is no nvcc, it fails, or the folder cannot be used; the message has the remedy.
    """
    nvcc = _find_nvcc()
    architecture = "sm_{}{}".format(*capability)
    path = folder / f"kernels-{architecture}-{_digest(nvcc)}.cubin"
    try:
        if path.exists():
            return path.read_bytes()
        log.info("compiling the GPU kernels for %s; this takes seconds", architecture)
        cubin = _compile(nvcc, architecture)
        write_atomically(path, cubin)
    except OSError as error:
        raise EngineError(
            f"{path}: the GPU kernels cannot be written to this file: {error.strerror or error}; make room, "
            "give the folder to the service's user, or name another (engine.cache in the configuration, --cache)"
        ) from error
    return cubin


def _find_nvcc() -> str:
    found = shutil.which("nvcc") or shutil.which("nvcc", path=TOOLKIT)
    if found is None:
        raise EngineError(
            f"the GPU kernels need nvcc, which is neither in PATH nor in {TOOLKIT}; install JetPack's cuda-toolkit, or "
            "NVIDIA's CUDA toolkit"
        )
    return found


def _digest(nvcc: str) -> str:
    """Return the digest of sources, options and nvcc version. They and the architecture decide the machine code."""
    parts = [source.read_bytes() for source in sorted(FOLDER.glob("*.cu*"))]
    version = subprocess.run([nvcc, "--version"], capture_output=True, check=False).stdout
    return hashlib.sha256(b"\0".join([*parts, " ".join(COMPILE).encode(), version])).hexdigest()[:16]


def _compile(nvcc: str, architecture: str) -> bytes:
    """Compile all sources in one run of nvcc into one module."""
    *others, source = SOURCES
    included = [word for other in others for word in ("-include", str(other))]
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder) / "kernels.cubin"
        command = [nvcc, *COMPILE, f"-arch={architecture}", "-cubin", "-o", str(cubin), *included, str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())[-500:]
            raise EngineError(
                f"{nvcc} cannot compile the GPU kernels for {architecture}: {said}; it needs the CUDA of this GPU, "
                "and a C++ compiler (apt install g++)"
            )
        return cubin.read_bytes()
