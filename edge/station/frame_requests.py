"""The requests for frames: when the camera thread may take a frame, and for which part or snapshots."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FrameRequest:
    """A request for one frame.

    Attributes:
        inspect: Whether the frame shows a part that is to be inspected.
        part_id: Id of the part, from the trigger; `None` if the trigger named none.
        snapshots: Ids of the snapshots that are answered with the frame.
        after: Time in seconds of `time.monotonic` at which the trigger came or the pause ended; an older frame must not
            be used. 0: the next frame, whatever its age.
    """

    inspect: bool
    part_id: str | None = None
    snapshots: tuple[str, ...] = ()
    after: float = field(default=0.0, compare=False)


class FrameRequests:
    """Tells the camera thread when to take a frame: always, or once per trigger, and never while the station is paused.

    Args:
        triggered: Whether each trigger asks for one frame; if false, every frame of the camera shows a part.
        waiting: Largest number of triggers that may wait, and of snapshots.
    """

    def __init__(self, *, triggered: bool, waiting: int) -> None:
        self._triggered, self._waiting = triggered, waiting
        self._changed = threading.Condition()
        self._triggers: deque[tuple[str | None, float]] = deque()
        self._snapshots: deque[str] = deque()
        self._paused = self._closed = False
        self._resumed = 0.0
        """Time at which the last pause ended; 0 once a frame was taken after it."""

    def wait(self) -> FrameRequest | None:
        """Wait for the next request, and return it; return `None` after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._snapshots or self._open())
            if self._closed:
                return None
            snapshots = tuple(self._snapshots)
            self._snapshots.clear()
            if not self._open():
                return FrameRequest(False, snapshots=snapshots, after=time.monotonic())
            if not self._triggered:
                after, self._resumed = self._resumed, 0.0
                return FrameRequest(True, snapshots=snapshots, after=after)
            part_id, came = self._triggers.popleft()
            self._changed.notify_all()
            return FrameRequest(True, part_id, snapshots, came)

    def request_part(self, part_id: str | None, *, wait: bool = False) -> bool:
        """Ask for the frame of a part; return false if too many triggers wait, or after `close`.

        Args:
            part_id: Id of the part, if it is known.
            wait: Whether to wait until fewer triggers wait.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._closed or len(self._triggers) < self._waiting)
            if self._closed or len(self._triggers) >= self._waiting:
                return False
            self._triggers.append((part_id, time.monotonic()))
            self._changed.notify_all()
            return True

    def request_snapshot(self, identity: str) -> bool:
        """Ask for a frame for a snapshot; return false if too many snapshots wait, or after `close`."""
        with self._changed:
            if self._closed or len(self._snapshots) >= self._waiting:
                return False
            self._snapshots.append(identity)
            self._changed.notify_all()
            return True

    def set_paused(self, paused: bool) -> None:
        """Begin or end a pause. Triggers that were accepted before it, and snapshots, are still served."""
        with self._changed:
            if self._paused and not paused:
                self._resumed = time.monotonic()
            self._paused = paused
            self._changed.notify_all()

    def drop_waiting(self) -> tuple[int, tuple[str, ...]]:
        """Drop all waiting requests, because a part that has passed must not be inspected in a later frame.

        Returns:
            The number of dropped triggers, and the ids of the dropped snapshots.
        """
        with self._changed:
            dropped = len(self._triggers), tuple(self._snapshots)
            self._triggers.clear()
            self._snapshots.clear()
            self._changed.notify_all()
        return dropped

    @property
    def triggered(self) -> bool:
        """Whether each trigger asks for one frame; if false, every frame of the camera shows a part."""
        return self._triggered

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Accept no more requests, and wake every thread that waits here."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _open(self) -> bool:
        return bool(self._triggers) if self._triggered else not self._paused
