"""Signals to the service, in this process."""

from __future__ import annotations

import logging
import signal

import pytest

from edge_inspect.edge.signals import Signals


def test_a_handler_touches_nothing_that_has_a_lock(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.raise_signal(number)
        # The main thread may have been in the log itself, whose limit has a lock.
        assert caplog.records == []
        assert signals.take_reload() and not signals.take_reload()
        assert signals.stop is signal.SIGTERM and signals.stop is signal.SIGTERM
        assert [record.getMessage() for record in caplog.records] == [
            "SIGHUP: reading the configuration again",
            "SIGTERM: stopping",
        ]
        with pytest.raises(SystemExit) as ended:
            signal.raise_signal(signal.SIGINT)
        assert ended.value.code == 128 + signal.SIGINT
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_closed_terminal_ends_a_program_that_reads_no_configuration_again() -> None:
    with Signals(reload=False) as signals:
        signal.raise_signal(signal.SIGHUP)
        assert signals.stop is signal.SIGHUP and not signals.take_reload()
