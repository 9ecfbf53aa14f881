"""The machine: its temperature, whether it throttles, and the room on its disk."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from edge_inspect.edge.contract.health import HealthWarning

# Cooling devices that slow the processor, on PCs and on boards with the kernel's cpufreq cooling. Others are left out:
# on a Jetson, cpufreq-* and devfreq-* are above zero in normal operation, and fans do not slow anything.
_SLOWING = ("Processor", "thermal-cpufreq")
# Counters of overcurrent on a Jetson and of thermal throttling on Intel; they only count up.
_COUNTERS = ("class/hwmon/hwmon*/oc*_event_cnt", "devices/system/cpu/cpu*/thermal_throttle/package_throttle_count")

FRESH_S = 1.0
"""Age in seconds up to which a reading is used again."""


class MachineState(NamedTuple):
    """The state of the machine; a value that it does not show is `None`.

    Attributes:
        temperature_c: Temperature of the hottest thermal zone, in °C.
        throttled: Whether heat or overcurrent slows the machine now, or has done so since the last reading.
        free_bytes: Free space on the disk, for this user.
        warnings: Warnings that follow from these values.
    """

    temperature_c: float | None
    throttled: bool | None
    free_bytes: int | None
    warnings: tuple[HealthWarning, ...]


class Machine:
    """Reads temperature, throttling and free disk space from the kernel.

    Args:
        disk: A folder on the disk to watch.
        needed_bytes: Free space below which there is a warning.
        sys: Folder at which sysfs is mounted.
    """

    def __init__(self, disk: Path, needed_bytes: int, sys: Path = Path("/sys")) -> None:
        self._disk, self._needed, self._sys = disk, needed_bytes, sys
        self._counted = self._count()
        self._looked_at = float("-inf")

    def look(self) -> MachineState:
        """Return the current state; a reading is used again for a second, so that all stations show the same."""
        if time.monotonic() - self._looked_at > FRESH_S:
            # The state must be set before the time, because another station's thread may call this meanwhile.
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
        # On some Jetsons, the zone of the power chip always shows 100 °C.
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
    except OSError:  # a sensor that sleeps fails with EAGAIN or EINVAL
        return ""


def _numbers(paths: Iterable[Path]) -> Iterator[int]:
    for path in paths:
        text = _text(path)
        if text.lstrip("-").isdigit():
            yield int(text)
