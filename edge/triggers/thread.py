from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from edge_inspect.edge.threads import wait_for_end

END_S = 1.0
"""Time in seconds that `close` waits for the thread."""


class TriggerThread(ABC):
    """A trigger's thread. It starts at the end of the constructor and runs until `close`.

    Args:
        fire: Called for every part, in this thread. It may block.
        name: Name of the thread.
    """

    def __init__(self, fire: Callable[[], None], name: str) -> None:
        self._fire = fire
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread. If `fire` is blocked, whatever it waits for must have ended before."""
        self._closing.set()
        wait_for_end(self._thread, END_S)

    @abstractmethod
    def _run(self) -> None:
        """Call `_fire` for every part until `_closing` is set."""
