from __future__ import annotations

import time


class Pace:
    """Lets a recorded source run at a rate: `wait` returns when the next frame is due.

    Args:
        fps: Frames a second; 0 never waits.
    """

    def __init__(self, fps: float) -> None:
        self._period = 1 / fps if fps else 0.0
        self._due = 0.0
        self.live = bool(fps)

    def wait(self) -> None:
        """Sleep until the next frame is due; a source that fell behind goes on from now, without a burst."""
        if not self._period:
            return
        now = time.monotonic()
        if self._due > now:
            time.sleep(self._due - now)
        self._due = max(self._due, now) + self._period
