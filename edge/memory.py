from __future__ import annotations

import resource
from pathlib import Path


def resident_bytes() -> int:
    """Return the memory that this process has now, in bytes; 0 if the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def peak_mb(pid: int | None = None) -> float:
    """Return the peak memory of a process so far, in MiB; by default that of this process.

    `ru_maxrss` would be wrong on Linux, because a process inherits it from the one that started it.
    """
    status = Path(f"/proc/{pid or 'self'}/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return round(int(line.split()[1]) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
