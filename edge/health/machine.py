"""The machine: its temperature, whether it throttles, and the room on its disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from edge_inspect.edge.contract.health import HealthWarning

# Processors of PCs and of boards with the kernel's cpufreq cooling. A Jetson's cpufreq-* and devfreq-* stand above zero
# in its normal work, and fans cool without slowing anything.
_SLOWING = ("Processor", "thermal-cpufreq")
# Overcurrent on a Jetson, and thermal throttling on Intel: they only count up.
_COUNTERS = ("class/hwmon/hwmon*/oc*_event_cnt", "devices/system/cpu/cpu*/thermal_throttle/package_throttle_count")

FRESH_S = 1.0
"""Age in seconds up to which a reading is used again."""


class MachineState(NamedTuple):
    """How it is; what it does not tell is `None`.

    Attributes:
        temperature_c: Of its hottest thermal zone.
        throttled: Whether heat or current slows it: now, or since it was looked at last.
        free_bytes: Room on the disk, for this user.
        warnings: What comes of that.
    """

    temperature_c: float | None
    throttled: bool | None
    free_bytes: int | None
    warnings: tuple[HealthWarning, ...]


class Machine:
    """Reads what the kernel tells.

    Args:
        disk: A folder of the disk that matters.
        needed_bytes: Less room on it is a warning.
        sys: Where sysfs is.
    """

    def __init__(self, disk: Path, needed_bytes: int, sys: Path = Path("/sys")) -> None:
        self._disk, self._needed, self._sys = disk, needed_bytes, sys
        self._counted = self._count()
        self._looked_at = float("-inf")

    def look(self) -> MachineState:
        """Return how it is now; stations that ask within a second are told the same."""
        if time.monotonic() - self._looked_at > FRESH_S:
            # In this order: another station's thread may ask meanwhile.
            self._state = self._read()
            self._looked_at = time.monotonic()
        return self._state

    def _read(self) -> MachineState:
        throttled, free = self._throttled(), self._free()
        warnings: list[HealthWarning] = []
        if free is not None and free < self._needed:
            warnings.append("disk")
        if throttled:
            warnings.append("throttled")
        return MachineState(self._temperature(), throttled, free, tuple(warnings))

    def _temperature(self) -> float | None:
        zones = self._sys.glob("class/thermal/thermal_zone*")
        # Some Jetsons have a power chip that always says 100 degrees.
        values = list(_numbers(zone / "temp" for zone in zones if "PMIC" not in _text(zone / "type")))
        return max(values) / 1000 if values else None

    def _throttled(self) -> bool | None:
        devices = self._sys.glob("class/thermal/cooling_device*")
        states = list(_numbers(device / "cur_state" for device in devices if _slows(_text(device / "type"))))
        before, self._counted = self._counted, self._count()
        if not states and self._counted is None:
            return None
        return any(state > 0 for state in states) or (self._counted or 0) > (before or 0)

    def _free(self) -> int | None:
        try:
            return shutil.disk_usage(self._disk).free
        except OSError:
            return None

    def _count(self) -> int | None:
        counts = list(_numbers(path for pattern in _COUNTERS for path in self._sys.glob(pattern)))
        return sum(counts) if counts else None


def _slows(kind: str) -> bool:
    return kind.endswith("-throttle-alert") or kind.startswith(_SLOWING)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # a sensor that sleeps says EAGAIN or EINVAL
        return ""


def _numbers(paths: Iterable[Path]) -> Iterator[int]:
    for path in paths:
        text = _text(path)
        if text.lstrip("-").isdigit():
            yield int(text)
