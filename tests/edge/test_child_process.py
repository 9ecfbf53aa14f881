"""A program that ends with its parent, in real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_inspect.edge.child_process import ends_with_parent

HANG_S = 60.0


@pytest.mark.parametrize("end", ["terminate", "kill"])
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_the_program_ends_with_its_parent(tmp_path: Path, end: str, sent: signal.Signals) -> None:
    mark = tmp_path / "pid"
    child = f"import os, time; open({str(mark)!r}, 'w').write(f'{{os.getpid()}} {{os.nice(0)}}'); time.sleep(300)"
    command = ends_with_parent([sys.executable, "-c", child], sent, nice=10)
    parent = f"import subprocess, time; subprocess.Popen({command!r}); time.sleep(300)"
    process = subprocess.Popen([sys.executable, "-c", parent])
    try:
        wait(lambda: mark.exists() and len(mark.read_text().split()) == 2)
        pid, nice = map(int, mark.read_text().split())
        assert nice >= 10
        getattr(process, end)()
        process.wait()
        wait(lambda: not running(pid))
    finally:
        process.kill()


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_S
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.05)
