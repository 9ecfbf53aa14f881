from __future__ import annotations

import threading
import time


class Pace:
    """Clock of a recorded source that runs at a frame rate.

    Args:
        fps: Frames per second. With 0, `wait` returns at once.
        stopping: Set when no more frames are wanted; `wait` then returns at once.

    Attributes:
        live: Whether there is a frame rate.
    """

    def __init__(self, fps: float, stopping: threading.Event) -> None:
        self._period = 1 / fps if fps else 0.0
        self._due = 0.0
        self._stopping = stopping
        self.live = bool(fps)

    def wait(self) -> None:
        """Sleep until the next frame is due. A source that is late continues from now, without a burst of frames."""
        if not self._period:
            return
        now = time.monotonic()
        if self._due > now:
            self._stopping.wait(self._due - now)
        self._due = max(self._due, now) + self._period
