"""The wall clock, which people and the network may set at any time: notices steps, and corrects the age of time stamps.

This project measures every duration with `time.monotonic`. The wall clock is only used for times in messages and ids.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

log = logging.getLogger(__name__)

# The beginning of the years 2024 and 2100, in seconds since 1970.
_POSSIBLE = (1_704_067_200, 4_102_444_800)
_STEP_S = 1.0
# Two clocks cannot be read at the same moment. If reading both takes longer than this, their difference is not used.
_READ_WITHIN_S = 0.1
# So long after a step, no frame is left that was stamped before it.
_STAMPS_MIX_S = 60.0


def _booted() -> float:
    """Return the seconds since the box was switched on, including the time in which it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockWatch:
    """Notices that the wall clock was set, by comparing it with a clock that cannot be set. Used by one thread.

    Slewing, as NTP does it, counts as no step, because it changes the clock by less than a millisecond per second.

    Args:
        wall: Returns the wall clock, in seconds since 1970.
        steady: Returns the seconds of a clock that cannot be set, and that continues while the box is suspended.

    Attributes:
        steps: Number of times the clock was set by more than a second.
        last_step_s: Size of the last step in seconds, positive if the clock was set forward; `None` before the first.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = _booted) -> None:
        self._wall, self._steady = wall, steady
        self._offset = wall() - steady()
        if not is_possible(wall()):
            log.warning(
                "the clock of this box says %s: it was never set, and times in messages are wrong; set it, best by NTP",
                show_time(wall()),
            )
        self.steps = 0
        self.last_step_s: float | None = None

    def look(self) -> None:
        """Compare the clocks, and log a step. Call this several times a minute."""
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
            "the clock was set %s by %s; it is %s now. Times in earlier messages differ by that much. No message is "
            "dropped and no timeout is affected. Senders of commands must use the new time for their ids",
            "forward" if step > 0 else "back",
            timedelta(seconds=round(abs(step))),
            show_time(wall),
        )


class StampAge:
    """The age of frames that a driver stamps with the wall clock; correct even if that clock is set in between.

    Args:
        wall: Returns the wall clock, in seconds since 1970.
        steady: Returns the seconds of a clock that cannot be set.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._steady = wall, steady
        self._offset = self._before = wall() - steady()
        self._set_at = 0.0

    def age(self, stamp: float) -> float:
        """Return how many seconds ago a frame was stamped, at least 0. Call this in the order of the frames.

        Args:
            stamp: Time stamp of the frame, in seconds since 1970.
        """
        wall, now = self._wall(), self._steady()
        offset = wall - now
        if abs(offset - self._offset) > _STEP_S:
            self._before, self._set_at = self._offset, now
        elif now - self._set_at > _STAMPS_MIX_S:
            self._before = offset
        self._offset = offset
        # The frame was stamped either by the clock as it is now, or as it was before the step. Drop an age that lies in
        # the future; if both are possible take the smaller one, because frames are read soon after they are taken.
        possible = [age for age in (wall - stamp, wall - stamp - (offset - self._before)) if age >= -_STEP_S]
        return max(0.0, min(possible, default=0.0))


def is_possible(seconds: float) -> bool:
    """Return whether a time lies between 2024 and 2100. A clock without a battery that was never set starts in 1970.

    Args:
        seconds: The time, in seconds since 1970.
    """
    return _POSSIBLE[0] < seconds < _POSSIBLE[1]


def show_time(seconds: float) -> str:
    """Return a time in UTC as text: `2026-11-29T06:37:00Z`.

    Args:
        seconds: The time, in seconds since 1970; any number is accepted.
    """
    try:
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s after 1970"
