"""What the subcommands share that run until a signal ends them: how they run, and the start of their log."""

from __future__ import annotations

import argparse
import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from edge_inspect.edge.log_limit import LogLimit
from edge_inspect.edge.log_ring import FORMAT, RING
from edge_inspect.edge.systemd import log_handler

if TYPE_CHECKING:
    from pydantic import BaseModel

    Settings = TypeVar("Settings", bound=BaseModel)


def run_program(arguments: argparse.Namespace, whole: type[Settings], run: Callable[[Settings], None]) -> None:
    """Read the configuration, start the log, and run until a signal ends the program.

    Args:
        arguments: The parsed command line, with `--config` and `--verbose`.
        whole: Model of the whole configuration.
        run: Runs with the configuration.

    Raises:
        ConfigurationError: The configuration cannot be used; it is read before anything is logged.
    """
    from edge_inspect.edge.configuration.file import read_settings

    settings = read_settings(arguments.config, whole)
    start_log(verbose=arguments.verbose)
    run(settings)
    end_with_threads()


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
