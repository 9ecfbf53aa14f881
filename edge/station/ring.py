from __future__ import annotations

import threading
import time
from collections import deque
from typing import Literal, NamedTuple

from edge_inspect.edge.cameras import Capture
from edge_inspect.edge.frame.images import Frame


class WaitingFrame(NamedTuple):
    """A frame in the ring.

    Attributes:
        capture: The frame.
        since: When it came, in `time.monotonic` seconds.
    """

    capture: Capture
    since: float


class FrameRing:
    """A station's frames between its camera thread and the engine thread, bounded.

    Args:
        size: Frames that may wait.
        policy: `latest` drops the oldest waiting frame to make room; `every` lets the camera wait.
        ready: Set whenever a frame has come; shared by the rings that one engine thread serves.
    """

    def __init__(self, size: int, policy: Literal["latest", "every"], ready: threading.Event) -> None:
        self._size, self._policy, self._ready = size, policy, ready
        self._changed = threading.Condition()
        self._waiting: deque[WaitingFrame] = deque()
        self._spare: deque[Frame] = deque(maxlen=size + 2)
        self._closed = False
        self.dropped = 0
        self.blocked = False
        """Whether the camera is waiting for room now."""
        self.waits = 0
        """How often it had to, or frames were lost before it: the alarm of `every`."""

    def offer(self, capture: Capture) -> bool:
        """Put a frame in; return whether the ring still takes any."""
        with self._changed:
            if self._closed:
                return False
            if capture.missed and self._policy == "every":
                self.waits += 1
            if self._policy == "latest" and len(self._waiting) == self._size:
                self._spare.append(self._waiting.popleft().capture.frame)
                self.dropped += 1
            if len(self._waiting) >= self._size:
                self.blocked = True
                self.waits += 1
                self._changed.wait_for(lambda: len(self._waiting) < self._size or self._closed)
                self.blocked = False
            if self._closed:
                return False
            self._waiting.append(WaitingFrame(capture, time.monotonic()))
        self._ready.set()
        return True

    def take(self) -> WaitingFrame | None:
        """Return the oldest waiting frame, or `None`."""
        with self._changed:
            if not self._waiting:
                return None
            self._changed.notify_all()
            return self._waiting.popleft()

    def recycle(self, frame: Frame) -> None:
        """Give a frame back, to be written over by the camera."""
        self._spare.append(frame)

    def spare(self) -> Frame | None:
        """Return a frame that may be written over, if there is one."""
        try:
            return self._spare.popleft()
        except IndexError:
            return None

    def close(self) -> None:
        """Take no more frames: a camera that waits for room is let go. Frames that wait can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
