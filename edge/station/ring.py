from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

from edge_inspect.edge.cameras import Capture
from edge_inspect.edge.frame.images import Frame


class WaitingFrame(NamedTuple):
    """A frame in the ring.

    Attributes:
        capture: The frame.
        since: Time at which the frame came, in seconds of `time.monotonic`.
    """

    capture: Capture
    since: float


class FrameRing:
    """A bounded queue of frames from a station's camera thread to the engine thread.

    Args:
        size: Largest number of waiting frames.
        policy: If the ring is full, `latest` drops the oldest waiting frame, and `every` lets the camera thread wait.
        ready: Event that is set for every new frame; all rings that one engine thread serves share it.

    Attributes:
        dropped: Number of frames that `latest` has dropped.
        blocked: Whether the camera thread is waiting for room now.
        waits: Number of times that it waited or that frames were lost before it: a sign of overload under `every`.
    """

    def __init__(self, size: int, policy: Literal["latest", "every"], ready: threading.Event) -> None:
        self._size, self._policy, self._ready = size, policy, ready
        self._changed = threading.Condition()
        self._waiting: deque[WaitingFrame] = deque()
        self._spare: deque[Frame] = deque(maxlen=size + 2)
        self._closed = False
        self.dropped = 0
        self.blocked = False
        self.waits = 0

    @property
    def waiting(self) -> list[WaitingFrame]:
        """The frames that wait, oldest first."""
        with self._changed:
            return list(self._waiting)

    def offer(self, capture: Capture) -> bool:
        """Put a frame in; return false if the ring is closed."""
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

    def take(self, may_go: Callable[[WaitingFrame], bool] = lambda waiting: True) -> WaitingFrame | None:
        """Take the oldest waiting frame out and return it; `None` if no frame waits, or if it may not go yet."""
        with self._changed:
            if not self._waiting or not may_go(self._waiting[0]):
                return None
            self._changed.notify_all()
            return self._waiting.popleft()

    def recycle(self, frame: Frame) -> None:
        """Give back the buffer of a frame, so that the camera can write the next frame into it."""
        self._spare.append(frame)

    def spare(self) -> Frame | None:
        """Return a buffer that may be overwritten; `None` if there is none."""
        try:
            return self._spare.popleft()
        except IndexError:
            return None

    def close(self) -> None:
        """Accept no more frames, and wake a camera thread that waits for room. Waiting frames can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
