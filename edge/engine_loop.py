"""The engine thread, which inspects the frames of all stations in turn."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from edge_inspect.edge.station.inspector import Inspector, TakenFrame
from edge_inspect.edge.station.station import Station
from edge_inspect.edge.threads import wait_for_end

PART_S = 5.0
"""Time in seconds that a stop waits for the current part, beyond the time for the frames that wait."""
LEAVE_S = 1.0
"""Time in seconds that a new engine thread waits for the one before it, which may hang."""


class EngineLoop:
    """Inspects one frame of each station in turn, so that no station starves another.

    A frame that waits alone is inspected at once. While others wait, the engine begins their maps before it has
    finished the first one, if it computes several at a time. Frames are always inspected in the order in which they
    were taken.

    Args:
        stations: Stations of the box; the list may be filled until `start`.

    Attributes:
        ready: Event that is set whenever a frame waits or a camera has run out of frames.
    """

    def __init__(self, stations: Sequence[Station]) -> None:
        self._stations = stations
        self._taken: deque[tuple[Inspector, TakenFrame]] = deque()
        """The frames that were taken and not inspected yet. A thread that replaces one that hangs goes on with them."""
        self.ready = threading.Event()
        self._stopping = False
        self._starting = threading.Lock()
        self._until = float("inf")
        self._thread: threading.Thread | None = None
        self._problem: BaseException | None = None

    def start(self) -> None:
        """Start the thread, or replace a thread that may hang by a new one.

        The old thread ends after its current part, and the new one waits for that, because two threads must not use one
        engine at a time. An old thread that hangs is left behind after a second.
        """
        with self._starting:
            thread = threading.Thread(target=self._run, args=(self._thread,), name="engine", daemon=True)
            thread.start()
            self._thread = thread
        self.ready.set()

    @property
    def running(self) -> bool:
        """Whether the thread runs, so that there may be more to inspect."""
        return self._thread is not None and self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, at most `timeout` seconds; used to pass the time while it runs.

        Raises:
            BaseException: The error on which the thread ended.
        """
        if self._thread is not None:
            self._thread.join(timeout)
        if self._problem is not None:
            raise self._problem

    def close(self, seconds: float) -> None:
        """Inspect the frames that wait for at most `seconds`, and end the thread.

        The current part may take longer, because its verdict would be lost once the outbox is closed.
        """
        self._until = time.monotonic() + seconds
        self._stopping = True
        self.ready.set()
        if self._thread is not None:
            wait_for_end(self._thread, seconds + PART_S)

    def _run(self, before: threading.Thread | None) -> None:
        with self._starting:
            mine = threading.current_thread()
        if before is not None:
            before.join(LEAVE_S)
        try:
            while self._thread is mine and time.monotonic() < self._until:
                self.ready.clear()
                # Read this before taking frames: a camera that ends later sets `ready` again.
                ended = self._stopping or all(station.ended.is_set() for station in self._stations)
                if self._stopping:
                    self._stop_stations()
                if self._take_turns(mine):
                    self.ready.set()
                elif self._stopping or (ended and not any(station.ring.waiting for station in self._stations)):
                    break
                self.ready.wait()
        except BaseException as problem:
            if self._thread is mine:
                self._problem = problem
        finally:
            if self._thread is mine:
                self._stop_stations()
                while self._taken:
                    inspector, taken = self._taken.popleft()
                    inspector.lose(taken)

    def _take_turns(self, mine: threading.Thread) -> bool:
        """Take a frame of each station and inspect those before them; return whether there was anything to inspect."""
        found = False
        for station in self._stations:
            if self._thread is not mine:
                return found
            inspector = station.inspector
            if (taken := inspector.take()) is not None:
                found = True
                self._taken.append((inspector, taken))
                if len(self._taken) > 1 or any(each.ring.waiting for each in self._stations):
                    inspector.begin(taken)
                # So no engine has begun more than it computes at a time when it begins its next frame.
                self._inspect(mine, leave=0 if taken.begun is None else taken.begun.at_a_time - 1)
        if not found and self._taken:
            self._inspect(mine, leave=len(self._taken) - 1)
            return True
        return found

    def _inspect(self, mine: threading.Thread, leave: int) -> None:
        """Inspect the frames that were taken first, until so many are left."""
        while len(self._taken) > leave and self._thread is mine:
            inspector, taken = self._taken.popleft()
            inspector.inspect(taken)

    def _stop_stations(self) -> None:
        for station in self._stations:
            station.stop()
