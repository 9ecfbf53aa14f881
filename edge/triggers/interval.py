from __future__ import annotations

import threading
import time
from collections.abc import Callable


class IntervalTrigger:
    """Fires at a fixed period; one that was kept waiting goes on from then, without a burst.

    Args:
        period: Seconds.
        fire: Called in this trigger's thread; it may take its time.
        name: Of the thread.
    """

    def __init__(self, period: float, fire: Callable[[], None], name: str) -> None:
        self._period, self._fire = period, fire
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread; what `fire` waits for must have ended."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic() + self._period
        while not self._closing.wait(max(0.0, due - time.monotonic())):
            self._fire()
            due += self._period
            if due < time.monotonic():
                due = time.monotonic() + self._period
