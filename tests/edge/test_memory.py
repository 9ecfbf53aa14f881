from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from ctypes import c_void_p
from pathlib import Path

import psutil
import pytest

from edge_inspect.edge.memory import available_bytes, give_back_freed, peak_mb


def test_the_peak_stays_when_memory_is_given_back() -> None:
    before = peak_mb()
    block = bytearray(64 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    del block
    assert peak_mb() >= before
    assert peak_mb() > 64


def test_the_available_memory_is_that_of_the_kernel() -> None:
    available = available_bytes()
    if sys.platform != "linux":
        assert available is None
    else:
        assert available == pytest.approx(psutil.virtual_memory().available, rel=0.1)


def test_a_process_does_not_inherit_its_parents_peak() -> None:
    block = bytearray(200 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    child = "from edge_inspect.edge.memory import peak_mb; print(peak_mb())"
    said = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout
    assert float(said) < 150 < len(block) / 2**20


ARENAS = """
import ctypes, sys, threading
from edge_inspect.edge.memory import use_few_arenas
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.fopen.restype, libc.malloc_info.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "few":
    use_few_arenas()
together = threading.Barrier(6)
def take():
    together.wait()
    libc.malloc(100_000)
    together.wait()
threads = [threading.Thread(target=take) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
"""

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="these are functions of glibc")


@needs_glibc
def test_threads_share_two_heaps(tmp_path: Path) -> None:
    heaps = {}
    for which in ("few", "many"):
        file = tmp_path / which
        subprocess.run([sys.executable, "-c", ARENAS, which, str(file)], check=True)
        heaps[which] = file.read_text().count("<heap nr=")
    assert heaps["few"] <= 2 < heaps["many"]


@needs_glibc
def test_what_was_freed_is_given_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = c_void_p, [ctypes.c_size_t], [c_void_p]
    size, count = 64 * 1024, 1000
    blocks = [libc.malloc(size) for _ in range(count)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks[:-1]:  # the last one keeps the heap from shrinking by itself
        libc.free(block)
    before = psutil.Process().memory_info().rss
    give_back_freed()
    libc.free(blocks[-1])
    assert before - psutil.Process().memory_info().rss > size * count / 2
