from __future__ import annotations

import threading

from edge.station.ring import Waiting


class Hand:
    """The part that a station's engine has in hand: it gets its verdict, or is left behind with an engine that hangs.

    Whoever has it first counts it, so that no part is counted twice: the engine thread that comes back, or the one that
    builds the engine again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Waiting | None = None

    def take(self, waiting: Waiting) -> None:
        """The engine begins with a part."""
        with self._lock:
            self._waiting = waiting

    def release(self, waiting: Waiting) -> bool:
        """The engine is done with a part; returns whether it was not left behind meanwhile."""
        with self._lock:
            mine = self._waiting is waiting
            if mine:
                self._waiting = None
            return mine

    def leave(self) -> int:
        """Leaves what is in hand behind; returns how many parts that is."""
        with self._lock:
            left, self._waiting = self._waiting, None
            return int(left is not None)
