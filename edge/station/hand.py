from __future__ import annotations

import threading

from edge_inspect.edge.station.ring import Waiting


class Hand:
    """The part that a station's engine has in hand: it gets its verdict, or is left behind with an engine that hangs.

    Whoever has it first counts it, so that no part is counted twice: the engine thread that comes back, or the one that
    builds the engine again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Waiting | None = None

    def take(self, waiting: Waiting) -> None:
        """Take the part in hand that the engine begins with."""
        with self._lock:
            self._waiting = waiting

    def release(self, waiting: Waiting) -> bool:
        """Release a part that the engine is done with; return whether it was not left behind meanwhile."""
        with self._lock:
            mine = self._waiting is waiting
            if mine:
                self._waiting = None
            return mine

    def leave(self) -> int:
        """Leave what is in hand behind; return how many parts that is."""
        with self._lock:
            left, self._waiting = self._waiting, None
            return int(left is not None)
