"""The kernels compile for every GPU that they are meant for, without a warning and without spilling a register."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_inspect.edge.kernels.launch import ARCHITECTURES, COMPILE, SOURCES

NVCC = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
MISSING = "NO NVCC: the GPU kernels are NOT compiled; apt install nvidia-cuda-toolkit, or NVIDIA's own CUDA"


def known() -> list[str]:
    assert NVCC is not None
    listed = subprocess.run([NVCC, "--list-gpu-code"], capture_output=True, text=True, check=True)
    return listed.stdout.split()


@pytest.mark.skipif(NVCC is None, reason=MISSING)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_it_compiles_without_warnings_and_spills(source: Path, architecture: str, tmp_path: Path) -> None:
    if architecture not in known():
        pytest.skip(f"this nvcc does not know {architecture}: sm_72 ended with CUDA 12, sm_110 began with CUDA 13")
    command = [
        str(NVCC),
        *COMPILE,
        "-Xptxas=-v",
        "-Werror=all-warnings",
        f"-arch={architecture}",
        "-cubin",
        "-o",
        str(tmp_path / "kernels.cubin"),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    used = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert len(used) == len(re.findall(r"^__global__", source.read_text(), re.MULTILINE))
    assert set(used) == {("0", "0", "0")}, done.stderr
