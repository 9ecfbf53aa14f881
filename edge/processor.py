from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

INFORMATION = Path("/proc/cpuinfo")


def features() -> set[str]:
    """Return the processor's features by the names in `/proc/cpuinfo`; an empty set if that file does not exist."""
    return set(INFORMATION.read_text().split()) if INFORMATION.is_file() else set()


def describe() -> str:
    """Return the processor in words: its model, the processors that this process may use, and a digest of its features.

    Where two of these texts are equal, engines are about equally fast.
    """
    text = INFORMATION.read_text() if INFORMATION.is_file() else ""
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    parts = (f"{key} {fields[key]}" for key in ("CPU implementer", "CPU variant", "CPU part") if key in fields)
    model = fields.get("model name") or ", ".join(parts) or platform.machine()
    flags = sorted(fields.get("flags", fields.get("Features", "")).split())
    digest = hashlib.sha256(" ".join(flags).encode()).hexdigest()[:8]
    return f"{model}, {len(os.sched_getaffinity(0))} processors, features {digest}"
