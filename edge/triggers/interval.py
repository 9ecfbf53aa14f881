from __future__ import annotations

import re
import time
from collections.abc import Callable

from edge_inspect.edge.errors import TriggerError
from edge_inspect.edge.triggers.kind import Fire, Say, TriggerKind
from edge_inspect.edge.triggers.thread import TriggerThread


class IntervalTrigger(TriggerThread):
    """A trigger that fires at a fixed period. If `fire` blocks for longer, the period starts anew, without a burst.

    Args:
        period: Period in seconds.
        fire: Called for every part, in this thread.
        name: Name of the thread.
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


def parse_period(text: str) -> float | None:
    """Return the period of `every N ms` in seconds; `None` if the text has another form.

    Raises:
        TriggerError: The period is too short or too long.
    """
    match = re.fullmatch(r"every (\d+(?:\.\d+)?) ms", text, re.ASCII)
    if match is None:
        return None
    period = float(match[1])
    if not 1 <= period <= 86_400_000:
        raise TriggerError(f"trigger {text!r}: must be every 1 to 86400000 ms")
    return period / 1000


def _start(period: float, fire: Fire, say: Say, name: str) -> TriggerThread:
    return IntervalTrigger(period, fire, name)


KIND = TriggerKind("every N ms", "at a fixed period", parse_period, _start, can_wait=True)
