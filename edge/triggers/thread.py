from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from edge_inspect.edge.threads import wait_for_end

END_S = 1.0
"""Time in seconds that `close` waits for the thread."""


class Trigger(ABC):
    """Asks for frames in a thread of its own, which begins at the end of the constructor, until it is closed.

    Args:
        fire: Called for every part, in this trigger's thread; it may take its time.
        name: Of the thread.
    """

    def __init__(self, fire: Callable[[], None], name: str) -> None:
        self._fire = fire
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; what `fire` waits for must have ended."""
        self._closing.set()
        wait_for_end(self._thread, END_S)

    @abstractmethod
    def _run(self) -> None:
        """Fire until `_closing` is set."""
