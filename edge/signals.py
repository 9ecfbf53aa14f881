"""Signals to the service: SIGTERM and SIGINT end it in order, SIGHUP has it read its configuration again."""

from __future__ import annotations

import logging
import signal
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)


class Signals:
    """Remembers what was asked for while its block runs. In the main thread, which asks it now and then.

    A handler runs between any two steps of the main thread, which may hold the very lock that an event or a queue
    would take; the log's limit has one too. So it only sets a flag. The second SIGTERM or SIGINT ends the process at
    once.
    """

    def __init__(self) -> None:
        self.stop: signal.Signals | None = None
        """What ends the service, once that is asked for."""
        self._reload = False

    def __enter__(self) -> Signals:
        handlers = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGHUP: self._hang_up}
        self._before: dict[int, Any] = {number: signal.signal(number, handle) for number, handle in handlers.items()}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take_reload(self) -> bool:
        """Return whether the configuration is to be read again; once a SIGHUP."""
        asked, self._reload = self._reload, False
        if asked:
            log.info("SIGHUP: reading the configuration again")
        return asked

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.stop is not None:
            raise SystemExit(128 + number)
        self.stop = signal.Signals(number)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self._reload = True
