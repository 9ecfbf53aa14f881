"""The gate before a camera: when its thread may take a frame, and what for."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Turn:
    """Leave to take one frame.

    Attributes:
        inspect: It is a part, to be judged.
        part_id: As given with the trigger.
        pictures: Ids of the snapshots it is wanted for.
        after: The frame must not be older: when the trigger came, or the pause ended, in `time.monotonic` seconds; 0
            where it is the next of a row.
    """

    inspect: bool
    part_id: str | None = None
    pictures: tuple[str, ...] = ()
    after: float = field(default=0.0, compare=False)


class Gate:
    """Lets the camera thread through: at every frame, or once a trigger, and not while paused.

    Args:
        triggered: One frame a trigger.
        waiting: Triggers, and snapshots, that may wait.
    """

    def __init__(self, *, triggered: bool, waiting: int) -> None:
        self._triggered, self._waiting = triggered, waiting
        self._changed = threading.Condition()
        self._triggers: deque[tuple[str | None, float]] = deque()
        self._pictures: deque[str] = deque()
        self._paused = self._closed = False
        self._resumed = 0.0
        """When the last pause ended, until the first frame after it."""

    def wait(self) -> Turn | None:
        """Wait for leave to take a frame; `None` when there will be none any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._pictures or self._open())
            if self._closed:
                return None
            pictures = tuple(self._pictures)
            self._pictures.clear()
            if not self._open():
                return Turn(False, None, pictures, time.monotonic())
            if not self._triggered:
                after, self._resumed = self._resumed, 0.0
                return Turn(True, None, pictures, after)
            part_id, came = self._triggers.popleft()
            self._changed.notify_all()
            return Turn(True, part_id, pictures, came)

    def trigger(self, part_id: str | None, *, wait: bool = False) -> bool:
        """Ask for the frame of a part; return whether there was room.

        Args:
            part_id: Of the part, where it is known.
            wait: Until there is room, or the gate is closed.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._closed or len(self._triggers) < self._waiting)
            if self._closed or len(self._triggers) >= self._waiting:
                return False
            self._triggers.append((part_id, time.monotonic()))
            self._changed.notify_all()
            return True

    def picture(self, identity: str) -> bool:
        """Ask for a frame to show; return whether there was room."""
        with self._changed:
            if self._closed or len(self._pictures) >= self._waiting:
                return False
            self._pictures.append(identity)
            self._changed.notify_all()
            return True

    def set_paused(self, paused: bool) -> None:
        """Let nothing but snapshots, and triggers that were taken, through; or let frames through again."""
        with self._changed:
            if self._paused and not paused:
                self._resumed = time.monotonic()
            self._paused = paused
            self._changed.notify_all()

    def forget(self) -> tuple[int, tuple[str, ...]]:
        """Drop what waits: a part that has gone by must not be judged by a later frame.

        Returns:
            How many triggers there were, and which snapshots.
        """
        with self._changed:
            dropped = len(self._triggers), tuple(self._pictures)
            self._triggers.clear()
            self._pictures.clear()
            self._changed.notify_all()
        return dropped

    @property
    def triggered(self) -> bool:
        """Whether each part was asked for."""
        return self._triggered

    @property
    def closed(self) -> bool:
        """Whether nothing will be let through any more."""
        return self._closed

    def close(self) -> None:
        """Let nothing through any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _open(self) -> bool:
        return bool(self._triggers) if self._triggered else not self._paused
