from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable


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
        self._thread.join()

    @abstractmethod
    def _run(self) -> None:
        """Fire until `_closing` is set."""
