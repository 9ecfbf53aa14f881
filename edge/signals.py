"""Signals to the service: SIGTERM and SIGINT make it end in order, SIGHUP makes it read its configuration again."""

from __future__ import annotations

import logging
import signal
from types import FrameType
from typing import Any

log = logging.getLogger(__name__)


class Signals:
    """A context manager that records the signals that come during its block. The main thread polls it.

    A handler interrupts the main thread at any point, where that thread may hold the lock of an event, a queue or the
    log. So the handlers only set flags. A second SIGTERM or SIGINT ends the process at once.

    Args:
        reload: Whether SIGHUP asks for the configuration to be read again; otherwise it ends the process in order.
    """

    def __init__(self, *, reload: bool = True) -> None:
        self._hang_up_handler = self._hang_up if reload else self._stop
        self._stopped_by: signal.Signals | None = None
        self._told = False
        self._reload = False

    def __enter__(self) -> Signals:
        handlers = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGHUP: self._hang_up_handler}
        self._before: dict[int, Any] = {number: signal.signal(number, handle) for number, handle in handlers.items()}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def stop(self) -> signal.Signals | None:
        """The signal that ends the process, once it has come; `None` before. The log tells of it at the first look."""
        if self._stopped_by is not None and not self._told:
            self._told = True
            log.info("%s: stopping", self._stopped_by.name)
        return self._stopped_by

    def take_reload(self) -> bool:
        """Return whether a SIGHUP has come since the last call."""
        asked, self._reload = self._reload, False
        if asked:
            log.info("SIGHUP: reading the configuration again")
        return asked

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._stopped_by is not None:
            raise SystemExit(128 + number)
        self._stopped_by = signal.Signals(number)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self._reload = True
