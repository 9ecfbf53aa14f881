"""The wall clock, which people and the network set: noticing that it was, and the age of what was stamped by it.

Nothing of this project measures a duration with the wall clock; `time.monotonic` does that. The wall clock only says
when something was, in messages and in ids.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

log = logging.getLogger(__name__)

# Seconds since 1970 of the years 2024 and 2100.
_POSSIBLE = (1_704_067_200, 4_102_444_800)
_STEP_S = 1.0
# Two clocks are not read at one moment; where more than this lies between, the reading says nothing.
_READ_WITHIN_S = 0.1
# A frame that was stamped before the clock was set has been read by then.
_STAMPS_MIX_S = 60.0


def _booted() -> float:
    """Return the seconds since the box was switched on, those in which it was suspended too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockWatch:
    """Notices that the wall clock was set, by what it does against the clock that nobody can set. Used by one thread.

    Slewing, as NTP does it, is no step: it adds less than a millisecond a second.

    Args:
        wall: Seconds since 1970.
        steady: Seconds, by a clock that nobody sets and that runs on while the box is suspended.

    Attributes:
        steps: How often the clock was set by more than a second.
        last_step_s: By how much the last time, forward above 0; `None` before the first.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = _booted) -> None:
        self._wall, self._steady = wall, steady
        self._offset = wall() - steady()
        if not is_possible(wall()):
            log.warning("the clock says %s: it was never set, and times in messages are wrong", show_time(wall()))
        self.steps = 0
        self.last_step_s: float | None = None

    def look(self) -> None:
        """Compare the clocks, and log a step; call this several times a minute."""
        before = self._steady()
        wall = self._wall()
        if self._steady() - before > _READ_WITHIN_S:
            return
        step, self._offset = wall - before - self._offset, wall - before
        if abs(step) <= _STEP_S:
            return
        self.steps += 1
        self.last_step_s = round(step, 3)
        log.warning(
            "the clock was set %s by %s: it is %s now. Times in messages from before differ by that. No message is "
            "dropped for it, and no limit counts it; commands must have an id of the new time",
            "forward" if step > 0 else "back",
            timedelta(seconds=round(abs(step))),
            show_time(wall),
        )


class StampAge:
    """The age of frames that a driver has stamped by the wall clock, right also when that is set meanwhile.

    Args:
        wall: Seconds since 1970.
        steady: Seconds, by a clock that nobody sets.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._steady = wall, steady
        self._offset = self._before = wall() - steady()
        self._set_at = 0.0

    def age(self, stamp: float) -> float:
        """Return how many seconds ago a stamp was made, 0 or more. Stamps must come in their order.

        Args:
            stamp: Seconds since 1970.
        """
        wall, now = self._wall(), self._steady()
        offset = wall - now
        if abs(offset - self._offset) > _STEP_S:
            self._before, self._set_at = self._offset, now
        elif now - self._set_at > _STAMPS_MIX_S:
            self._before = offset
        self._offset = offset
        # The stamp is of the clock as it is, or as it was before it was set: of the two the one that is not in the
        # future, and of two such the newer, since a frame does not lie about for long.
        possible = [age for age in (wall - stamp, wall - stamp - (offset - self._before)) if age >= -_STEP_S]
        return max(0.0, min(possible, default=0.0))


def is_possible(seconds: float) -> bool:
    """Return whether a clock that says so may be right: one that was never set begins in 1970 where it has no battery.

    Args:
        seconds: Since 1970.
    """
    return _POSSIBLE[0] < seconds < _POSSIBLE[1]


def show_time(seconds: float) -> str:
    """Return a time for people, in UTC: `2026-11-29T06:37:00Z`.

    Args:
        seconds: Since 1970; any number that a clock may show.
    """
    try:
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s after 1970"
