"""The engine thread, which inspects the frames of all stations in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from edge_inspect.edge.station.station import Station

# Seconds to wait for the part that is being inspected: when the service stops, and when a new thread replaces one that
# may hang.
_PART_S, _LEAVE_S = 5.0, 1.0


class EngineLoop:
    """A thread that inspects one frame of each station in turn, so that no station starves another.

    Args:
        stations: Stations of the box. They may be added until `start`.

    Attributes:
        ready: Event to set when a frame is waiting or a station's source has ended.
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
        """Start the thread, or replace it by a new one because it may hang.

        If the old thread hangs, it ends when its call returns. If it does not hang, it ends after its present part, and
        the new thread waits for that, because two threads must not use one engine at a time.
        """
        with self._starting:
            thread = threading.Thread(target=self._run, args=(self._thread,), name="engine", daemon=True)
            thread.start()
            self._thread = thread
        self.ready.set()

    @property
    def running(self) -> bool:
        """Whether the thread runs, so that more frames may be inspected."""
        return self._thread is not None and self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait until the thread ends.

        Args:
            timeout: Longest time to wait, in seconds.

        Raises:
            BaseException: The exception with which the thread ended.
        """
        if self._thread is not None:
            self._thread.join(timeout)
        if self._problem is not None:
            raise self._problem

    def stop(self, seconds: float) -> None:
        """Inspect the frames that wait, as far as there is time, and end the thread.

        The wait for the present part is longer than that, because its verdict would be lost once the outbox is closed.

        Args:
            seconds: Time for the frames that wait, in seconds.
        """
        self._until = time.monotonic() + seconds
        self._stopping = True
        self.ready.set()
        if self._thread is not None:
            self._thread.join(seconds + _PART_S)

    def _run(self, before: threading.Thread | None) -> None:
        with self._starting:
            mine = threading.current_thread()
        if before is not None:
            before.join(_LEAVE_S)
        try:
            while self._thread is mine and time.monotonic() < self._until:
                self.ready.clear()
                # This is read before the frames, because a source that ends later wakes this thread again.
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
