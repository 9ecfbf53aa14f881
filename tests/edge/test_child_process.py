"""A program that ends with its parent, in real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

HANG_S = 60.0


@pytest.mark.parametrize("end", ["terminate", "kill"])
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_the_program_ends_with_its_parent(tmp_path: Path, end: str, sent: signal.Signals) -> None:
    mark = tmp_path / "pid"
    child = f"import os, time; open({str(mark)!r}, 'w').write(f'{{os.getpid()}} {{os.nice(0)}}'); time.sleep(300)"
    parent = (
        "import signal, subprocess, sys, time; from edge_inspect.edge.child_process import ends_with_parent; "
        f"subprocess.Popen(ends_with_parent([sys.executable, '-c', {child!r}], signal.{sent.name}, nice=10)); "
        "time.sleep(300)"
    )
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


def test_a_program_whose_parent_has_ended_does_not_begin(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    words = [str(gone.pid), str(int(signal.SIGKILL)), "0", sys.executable, "-c", f"open({str(begun)!r}, 'w')"]
    subprocess.run([sys.executable, "-m", "edge_inspect.edge.child_process", *words], check=True)
    assert not begun.exists()


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
