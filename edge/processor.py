from __future__ import annotations

from pathlib import Path


def features() -> set[str]:
    """Return the processor's features by the names in `/proc/cpuinfo`; an empty set if that file does not exist."""
    information = Path("/proc/cpuinfo")
    return set(information.read_text().split()) if information.is_file() else set()
