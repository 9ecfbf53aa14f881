"""A limit on how often the same line is logged."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_PERIOD_S = 60.0
_LINES = 10


class LogLimit(logging.Filter):
    """A logging filter that passes ten lines per minute and statement; the next line says how many were left out.

    A fault that occurs with every part, or at every attempt to connect, must not fill the disk that the outbox needs.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line may pass."""
        kind = record.pathname, record.lineno
        now = self._clock()
        with self._lock:
            since, lines = self._kinds.get(kind, (now, 0))
            if now - since >= _PERIOD_S:
                if lines > _LINES:
                    record.msg = f"{record.msg} ({lines - _LINES} similar lines before this one were left out)"
                since, lines = now, 0
            self._kinds[kind] = since, lines + 1
        return lines < _LINES
