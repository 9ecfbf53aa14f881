"""The supervisor: feeds systemd's watchdog while every stage makes progress, and acts if one hangs."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

from edge_inspect.edge.health.stage import Stage
from edge_inspect.edge.health.watchdog import Due, Step, Watchdog
from edge_inspect.edge.systemd import notify, watchdog_usec
from edge_inspect.edge.threads import wait_for_end

log = logging.getLogger(__name__)

EXIT_STUCK = 75
"""Exit status of a process that hung (EX_TEMPFAIL of sysexits.h); systemd then starts it again."""
FLUSH_S = 2.0
_EVERY_S = 1.0
_END_S = 1.0


class Supervisor:
    """A thread that watches all stages. It takes no lock but the log's, so that it cannot hang together with a stage.

    A thread that hangs in a driver cannot be ended from outside. So the last step is `os._exit`, after an attempt to
    flush the outbox that may take at most two seconds.

    Args:
        stages: All stages of the box.
        help: Carries out a step other than `Step.EXIT`. It is called in a thread of its own, because it may hang too.
        flush: Sends and stores as much as possible before the process ends.
    """

    def __init__(self, stages: Sequence[Stage], help: Callable[[Due], None], flush: Callable[[], None]) -> None:
        self._watchdog = Watchdog(stages)
        self._help, self._flush = help, flush
        self._every_s = min(_EVERY_S, *(stage.limit_s / 4 for stage in stages))
        self._fed = watchdog_usec() is not None
        self._deadline = float("inf")
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def stuck(self) -> list[str]:
        """The stages that hang."""
        return [str(stage) for stage in self._watchdog.stuck]

    def stop_within(self, seconds: float) -> None:
        """End the process if `close` is not called within this time, because the service is stopping."""
        self._deadline = time.monotonic() + seconds

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        wait_for_end(self._thread, _END_S)

    def _run(self) -> None:
        said = False
        while not self._closed.wait(self._every_s):
            for due in self._watchdog.look():
                self._take(due)
            if time.monotonic() > self._deadline:
                self._leave("the service does not stop")
            stuck = self.stuck
            if self._fed and not stuck:
                notify(WATCHDOG=1)
            if bool(stuck) != said:
                said = bool(stuck)
                notify(STATUS=f"{', '.join(stuck)} hangs" if stuck else "every stage makes progress again")

    def _take(self, due: Due) -> None:
        situation = due.stage.situation
        seconds = time.monotonic() - situation.owing
        why = f" ({situation.why})" if situation.why else ""
        log.error("%s hangs: no progress for %.0f s%s; %s", due.stage, seconds, why, due.step.value)
        if due.step is Step.EXIT:
            self._leave(f"{due.stage} hangs")
        threading.Thread(target=self._help, args=(due,), name=f"help-{due.stage.name}", daemon=True).start()

    def _leave(self, why: str) -> None:
        log.critical("%s: the process ends with status %d, so that systemd starts it again", why, EXIT_STUCK)
        flush = threading.Thread(target=self._flush, name="flush", daemon=True)
        flush.start()
        flush.join(FLUSH_S)
        os._exit(EXIT_STUCK)
