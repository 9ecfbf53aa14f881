"""Notices that the clock of a view's box was set forward, from how long its verdicts seem to be on their way."""

from __future__ import annotations

from collections import deque
from statistics import median

_COMPARED = 64
_LEAST = 16
_DRIFT = 0.001
"""Largest drift between two clocks that NTP slews, each by half of this, in seconds a second."""


class ClockCheck:
    """Compares the times that a box writes into verdicts with a clock that cannot be set.

    The difference between arrival and decision is the time on the way, plus the difference of the two clocks. The time
    on the way is often longer than usual, but hardly ever shorter than the shortest of the last 64. So if a difference
    lies below these by more than a tolerance, the box's clock was set forward. Where delays vary, the tolerance is
    larger: half of the last differences lie within it above the lowest one.

    Args:
        tolerance_s: Smallest step that is noticed, in seconds.
    """

    def __init__(self, tolerance_s: float) -> None:
        self._tolerance_s = tolerance_s
        self._last: deque[float] = deque(maxlen=_COMPARED)
        self._at = 0.0

    def step(self, decided_at: float, now: float) -> float | None:
        """Return by how many seconds the clock was set forward; `None` if that is not noticed.

        Args:
            decided_at: Time in the verdict, in seconds since 1970.
            now: Arrival of the verdict, in seconds of the monotonic clock.
        """
        difference, drift, last = now - decided_at, _DRIFT * (now - self._at), self._last
        self._at = now
        fell = min(last) - difference if len(last) >= _LEAST else 0.0
        is_step = fell > self._tolerance_s + drift and fell > median(last) - min(last) + drift
        if is_step:
            last.clear()
        last.append(difference)
        return fell if is_step else None
