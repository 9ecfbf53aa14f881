"""Notices that the clock of a view's box was set forward, from how long its verdicts seem to be on their way."""

from __future__ import annotations

_DRIFT = 0.001
"""Largest drift between two clocks that NTP slews, each by half of this, in seconds a second."""
_SETTLED_S = 5.0
_RELEARN_S = 5.0


class ClockCheck:
    """Compares the times that a box writes into verdicts with a clock that cannot be set.

    The difference between arrival and decision is the time on the way, plus the difference of the two clocks. The time
    on the way is often longer than usual, but never shorter than the shortest. So if the difference falls below its
    lowest value by more than a tolerance, the box's clock was set forward. The lowest value is learned until it has not
    fallen for 5 s, because the first verdicts may have waited in an outbox or at the broker. After that it follows the
    drift of the clocks only. After a pause of 5 s it is learned anew. So nothing is noticed on a line that is that
    slow, where a step that could be taken for a missed trigger is so large that the station tells it in its health.

    Args:
        tolerance_s: Smallest step that is noticed, in seconds.
    """

    def __init__(self, tolerance_s: float) -> None:
        self._tolerance_s = tolerance_s
        self._lowest = float("inf")
        self._at = self._fell_at = self._touched_at = 0.0
        self._learned = False

    def step(self, decided_at: float, now: float) -> float | None:
        """Return by how many seconds the clock was set forward; `None` if that is not noticed.

        Args:
            decided_at: Time in the verdict, in seconds since 1970.
            now: Arrival of the verdict, in seconds of the monotonic clock.
        """
        difference, pause = now - decided_at, now - self._at
        self._at = now
        if pause > _RELEARN_S:
            self._learned, self._lowest = False, float("inf")
        if not self._learned:
            if difference < self._lowest - self._tolerance_s:
                self._fell_at = now
            self._learned = now >= self._fell_at + _SETTLED_S
            self._lowest, self._touched_at = min(self._lowest, difference), now
            return None
        # How far the clocks may have drifted apart since a verdict came without delay.
        drift = _DRIFT * (now - self._touched_at)
        fell = self._lowest - difference
        if fell > self._tolerance_s + drift:
            self._lowest, self._touched_at = difference, now
            return fell
        self._lowest = min(max(difference, self._lowest - drift), self._lowest + _DRIFT * pause)
        if fell >= -self._tolerance_s / 4:
            self._touched_at = now
        return None
