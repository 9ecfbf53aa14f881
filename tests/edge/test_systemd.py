"""What systemd and its journal are told, through real sockets."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_inspect.edge.systemd import JournalHandler, give_time, log_handler, notify, watchdog_usec


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(str(tmp_path / "socket"))
        opened.settimeout(10)
        yield opened


def fields(datagram: bytes) -> dict[str, str]:
    """Reads the journal's native protocol."""
    found = {}
    while datagram:
        name, _, rest = datagram.partition(b"\n")
        size = int.from_bytes(rest[:8], "little")
        found[name.decode()] = rest[8 : 8 + size].decode()
        assert rest[8 + size : 9 + size] == b"\n"
        datagram = rest[9 + size :]
    return found


def test_the_journal_gets_fields(listener: socket.socket) -> None:
    handler = JournalHandler(Path(listener.getsockname()))
    record = logging.LogRecord(
        "edge_inspect.edge.station", logging.WARNING, "/a/b.py", 7, "Teil %s\nist \udcff kaputt", ("ü",), None
    )
    handler.emit(record)
    found = fields(listener.recv(65536))
    assert found["MESSAGE"] == "Teil ü\nist \\udcff kaputt"
    assert found["PRIORITY"] == "4" and found["LOGGER"] == "edge_inspect.edge.station" and found["CODE_LINE"] == "7"
    assert found["SYSLOG_IDENTIFIER"] == "edge-inspect" and found["THREAD_NAME"] == "MainThread"
    handler.close()


def test_what_the_journal_does_not_take_goes_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = JournalHandler(tmp_path / "nobody")
    handler.emit(logging.LogRecord("a", logging.ERROR, "a.py", 1, "lost?", (), None))
    assert capsys.readouterr().err == "lost?\n"
    handler.close()


def test_without_systemd_the_log_goes_to_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (None, "", "1:2", "nonsense"):
        monkeypatch.delenv("JOURNAL_STREAM", raising=False)
        if stream is not None:
            monkeypatch.setenv("JOURNAL_STREAM", stream)
        assert type(log_handler()) is logging.StreamHandler


def test_notifications_are_sd_notifys(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", listener.getsockname())
    notify(READY=1, STATUS="2 stations", WATCHDOG_USEC=None)
    assert listener.recv(100) == b"READY=1\nSTATUS=2 stations"


def test_time_is_asked_for_only_of_a_watchdog_that_there_is(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", listener.getsockname())
    for usec, heard in (("", b"STATUS=next"), ("60000000", b"WATCHDOG_USEC=1000")):
        monkeypatch.setenv("WATCHDOG_USEC", usec)
        give_time(1000)
        notify(STATUS="next")
        assert listener.recv(100) == heard


def test_an_abstract_socket_is_notified_too(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"edge-inspect-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind("\0" + name)
        opened.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        notify(WATCHDOG=1)
        assert opened.recv(100) == b"WATCHDOG=1"


def test_a_systemd_that_does_not_listen_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify(READY=1)
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify(READY=1)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60_000_000),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60_000_000),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_for_the_process_it_names(
    environment: dict[str, str], found: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert watchdog_usec() == found
