"""The end of a thread, in one way for every class that owns one; docs/architecture.md has the rule."""

from __future__ import annotations

import logging
import threading

log = logging.getLogger(__name__)


def wait_for_end(thread: threading.Thread, seconds: float) -> bool:
    """Wait for a thread that was told to end; return false, and log it, if the thread is left behind.

    A thread that hangs in a driver cannot be ended from outside. As a daemon it does not keep the process alive.

    Args:
        thread: The thread. If it was never started, there is nothing to wait for.
        seconds: Longest time to wait.
    """
    if thread.ident is not None:
        thread.join(seconds)
    if thread.is_alive():
        log.warning("thread %s did not end within %g s and is left behind", thread.name, seconds)
        return False
    return True
