"""No kernel touches memory outside its buffers: AddressSanitizer watches every access of the same source."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kernels.host import build, compiler

SCRIPT = Path(__file__).parent / "sanitized.py"


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        pytest.skip("NO C++ COMPILER: the GPU kernels' memory accesses are NOT checked; apt install g++")
    return build(tmp_path_factory.mktemp("sanitized"), "-fsanitize=address,undefined", "-fno-sanitize-recover")


def run(library: Path, *options: str) -> subprocess.CompletedProcess[str]:
    named = [str(compiler()), "-print-file-name=libasan.so"]
    runtime = subprocess.run(named, capture_output=True, text=True, check=True).stdout.strip()
    environment = os.environ | {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(library), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_no_kernel_touches_memory_outside_its_buffers(sanitized: Path) -> None:
    done = run(sanitized)
    assert done.returncode == 0, done.stderr
    assert "all kernels ran" in done.stdout


def test_one_value_too_far_would_be_seen(sanitized: Path) -> None:
    done = run(sanitized, "--outside")
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
    assert "faults.cu" in done.stderr
