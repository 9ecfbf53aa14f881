from __future__ import annotations

import time
from collections.abc import Callable

from edge_inspect.edge.triggers.thread import Trigger


class IntervalTrigger(Trigger):
    """Fires at a fixed period; one that was kept waiting goes on from then, without a burst.

    Args:
        period: Seconds.
        fire: See `Trigger`, as of the next.
        name: Of the thread.
    """

    def __init__(self, period: float, fire: Callable[[], None], name: str) -> None:
        self._period = period
        super().__init__(fire, name)

    def _run(self) -> None:
        due = time.monotonic() + self._period
        while not self._closing.wait(max(0.0, due - time.monotonic())):
            self._fire()
            due += self._period
            if due < time.monotonic():
                due = time.monotonic() + self._period
