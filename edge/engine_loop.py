"""The engine thread: it judges the frames of all stations, in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from edge_inspect.edge.station.station import Station

PART_S = 5.0
"""Time in seconds that a stop waits for the current part, beyond the time for the frames that wait."""
LEAVE_S = 1.0
"""Time in seconds that a new engine thread waits for the one before it, which may hang."""


class EngineLoop:
    """One frame of each station in turn, so that none starves another.

    Args:
        stations: Of the box; may be filled until `start`.

    Attributes:
        ready: Set whenever a frame waits, or a station's source has ended.
    """

    def __init__(self, stations: Sequence[Station]) -> None:
        self._stations = stations
        self.ready = threading.Event()
        self._stopping = False
        self._starting = threading.Lock()
        self._until = float("inf")
        self._thread: threading.Thread | None = None
        self._problem: BaseException | None = None

    def start(self) -> None:
        """Begin, or go on in a new thread: the one before may hang, and ends when it comes back.

        One that does not hang ends after the part it has, and is waited for: two must not use one engine at a time.
        """
        with self._starting:
            thread = threading.Thread(target=self._run, args=(self._thread,), name="engine", daemon=True)
            thread.start()
            self._thread = thread
        self.ready.set()

    @property
    def running(self) -> bool:
        """Whether there may be more to judge."""
        return self._thread is not None and self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait for the end.

        Raises:
            BaseException: What the thread failed on.
        """
        if self._thread is not None:
            self._thread.join(timeout)
        if self._problem is not None:
            raise self._problem

    def stop(self, seconds: float) -> None:
        """Judge what waits, as far as there is time, and end.

        The part in hand is waited for beyond that: once the outbox is closed its verdict would be lost.
        """
        self._until = time.monotonic() + seconds
        self._stopping = True
        self.ready.set()
        if self._thread is not None:
            self._thread.join(seconds + PART_S)

    def _run(self, before: threading.Thread | None) -> None:
        with self._starting:
            mine = threading.current_thread()
        if before is not None:
            before.join(LEAVE_S)
        try:
            while self._thread is mine and time.monotonic() < self._until:
                self.ready.clear()
                # Read before the frames: a source that ends later wakes this thread again.
                ended = self._stopping or all(station.ended.is_set() for station in self._stations)
                if self._stopping:
                    self._stop_stations()
                if self._take_turns(mine):
                    self.ready.set()
                elif ended:
                    break
                self.ready.wait()
        except BaseException as problem:
            if self._thread is mine:
                self._problem = problem
        finally:
            if self._thread is mine:
                self._stop_stations()

    def _take_turns(self, mine: threading.Thread) -> bool:
        found = False
        for station in self._stations:
            if self._thread is mine:
                found |= station.inspect_next()
        return found

    def _stop_stations(self) -> None:
        for station in self._stations:
            station.stop()
