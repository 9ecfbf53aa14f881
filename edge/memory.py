"""The memory of a process: how much it takes and took at most, and how glibc keeps less of what was freed."""

from __future__ import annotations

import contextlib
import ctypes
import resource
from pathlib import Path

_M_ARENA_MAX = -8
_ARENAS = 2


def use_few_arenas() -> None:
    """Let all threads share two heaps of glibc instead of having one each; call it before threads start.

    The heaps of a service's threads keep some 12 MB that were needed once. Another C library is left as it is.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def give_back_freed() -> None:
    """Give memory that was freed back to the system, after a task that needed much of it for a moment."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident_bytes() -> int:
    """Return the memory that this process has now, in bytes; 0 if the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def available_bytes() -> int | None:
    """Return the memory that programs can still take without swapping, in bytes; `None` if the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, IndexError, ValueError):
        return None


def peak_mb(pid: int | None = None) -> float:
    """Return the peak memory of a process so far, in MiB; by default that of this process.

    `ru_maxrss` would be wrong on Linux, because a process inherits it from the one that started it.
    """
    status = Path(f"/proc/{pid or 'self'}/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return round(int(line.split()[1]) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
