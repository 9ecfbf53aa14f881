"""What the subcommands share that run until a signal ends them: the start of their log, and their end."""

from __future__ import annotations

import logging
import os
import threading

from edge_inspect.edge.log_limit import LogLimit
from edge_inspect.edge.log_ring import FORMAT, RING
from edge_inspect.edge.systemd import log_handler


def start_log(*, verbose: bool) -> None:
    """Log to the journal if systemd has started the program, else to standard error. The newest lines stay in memory.

    Args:
        verbose: Whether to log at level DEBUG instead of INFO.
    """
    handler = log_handler()
    handler.addFilter(LogLimit())
    handler.addFilter(RING)
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format=FORMAT,
        handlers=[handler],
    )


def end_with_threads() -> None:
    """End the process with status 0 at once if a thread was left behind.

    A daemon thread that is still in native code, building an engine for example, would abort the process when Python
    shuts down.
    """
    if any(thread.daemon for thread in threading.enumerate()):
        logging.shutdown()
        os._exit(0)
