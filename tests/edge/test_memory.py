from __future__ import annotations

import subprocess
import sys

from edge_inspect.edge.memory import peak_mb


def test_the_peak_stays_when_memory_is_given_back() -> None:
    before = peak_mb()
    block = bytearray(64 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    del block
    assert peak_mb() >= before
    assert peak_mb() > 64


def test_a_process_does_not_inherit_its_parents_peak() -> None:
    block = bytearray(200 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    child = "from edge_inspect.edge.memory import peak_mb; print(peak_mb())"
    said = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout
    assert float(said) < 150 < len(block) / 2**20
