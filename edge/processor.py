from __future__ import annotations

from pathlib import Path


def features() -> set[str]:
    """Return what Linux says the processor can do, as `/proc/cpuinfo` spells it; empty where there is none."""
    information = Path("/proc/cpuinfo")
    return set(information.read_text().split()) if information.is_file() else set()
