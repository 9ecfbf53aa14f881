"""The requests for frames: when the camera thread may take a frame, and what for."""

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
        part_id: Id of the part, as given with the trigger.
        snapshots: Ids of the snapshots that the frame is wanted for.
        after: The frame must not be older: when the trigger came, or the pause ended, in `time.monotonic` seconds; 0
            where it is the next of a row.
    """

    inspect: bool
    part_id: str | None = None
    snapshots: tuple[str, ...] = ()
    after: float = field(default=0.0, compare=False)


class FrameRequests:
    """Tells the camera thread when to take a frame: always, or once a trigger, and not while the station is paused.

    Args:
        triggered: One frame a trigger; else every frame that the camera gives.
        waiting: How many triggers may wait, and how many snapshots.
    """

    def __init__(self, *, triggered: bool, waiting: int) -> None:
        self._triggered, self._waiting = triggered, waiting
        self._changed = threading.Condition()
        self._triggers: deque[tuple[str | None, float]] = deque()
        self._snapshots: deque[str] = deque()
        self._paused = self._closed = False
        self._resumed = 0.0
        """When the last pause ended, until the first frame after it."""

    def wait(self) -> FrameRequest | None:
        """Wait for the next request; `None` when there will be none any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._snapshots or self._open())
            if self._closed:
                return None
            snapshots = tuple(self._snapshots)
            self._snapshots.clear()
            if not self._open():
                return FrameRequest(False, None, snapshots, time.monotonic())
            if not self._triggered:
                after, self._resumed = self._resumed, 0.0
                return FrameRequest(True, None, snapshots, after)
            part_id, came = self._triggers.popleft()
            self._changed.notify_all()
            return FrameRequest(True, part_id, snapshots, came)

    def request_part(self, part_id: str | None, *, wait: bool = False) -> bool:
        """Ask for the frame of a part; return whether there was room.

        Args:
            part_id: Id of the part, where it is known.
            wait: Whether to wait until there is room, or until this is closed.
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
        """Ask for a frame to show; return whether there was room."""
        with self._changed:
            if self._closed or len(self._snapshots) >= self._waiting:
                return False
            self._snapshots.append(identity)
            self._changed.notify_all()
            return True

    def set_paused(self, paused: bool) -> None:
        """Ask for nothing but snapshots and triggers that were accepted before; or ask for frames again."""
        with self._changed:
            if self._paused and not paused:
                self._resumed = time.monotonic()
            self._paused = paused
            self._changed.notify_all()

    def drop_waiting(self) -> tuple[int, tuple[str, ...]]:
        """Drop what waits: a part that has gone by must not get its verdict by a later frame.

        Returns:
            How many triggers there were, and which snapshots.
        """
        with self._changed:
            dropped = len(self._triggers), tuple(self._snapshots)
            self._triggers.clear()
            self._snapshots.clear()
            self._changed.notify_all()
        return dropped

    @property
    def triggered(self) -> bool:
        """Whether each part was asked for."""
        return self._triggered

    @property
    def closed(self) -> bool:
        """Whether there will be no request any more."""
        return self._closed

    def close(self) -> None:
        """Make no request any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _open(self) -> bool:
        return bool(self._triggers) if self._triggered else not self._paused
