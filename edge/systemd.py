"""The service's interface to systemd: readiness, watchdog and journal. Without systemd, these functions do nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from pathlib import Path

JOURNAL = Path("/run/systemd/journal/socket")
# Priorities of syslog, each with the lowest level of Python's logging that it is used for.
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def notify(**fields: str | int | None) -> None:
    """Send fields of sd_notify to systemd, such as `READY=1` and `STATUS=...` (Type=notify).

    Fields that are `None` are left out. Errors are ignored: if systemd does not listen, the service inspects on.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    message = "\n".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(message.encode())


def watchdog_usec() -> int | None:
    """Return WatchdogSec of the unit in microseconds; `None` if this process has no watchdog."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    return int(usec) if usec.isdigit() and pid in ("", str(os.getpid())) else None


def give_time(usec: int) -> None:
    """Set the timeout of systemd's watchdog to `usec` microseconds, if this process has a watchdog."""
    if watchdog_usec() is not None:
        notify(WATCHDOG_USEC=usec)


def log_handler() -> logging.Handler:
    """Return the handler of the log: the journal if systemd has connected standard error to it, else standard error."""
    stream, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    with contextlib.suppress(OSError, ValueError):
        found = os.fstat(sys.stderr.fileno())
        if (str(found.st_dev), str(found.st_ino)) == (stream, inode) and JOURNAL.exists():
            return JournalHandler(JOURNAL)
    return logging.StreamHandler()


class JournalHandler(logging.Handler):
    """A logging handler that sends each record to the journal, with fields for priority, logger, thread and code line.

    So `journalctl -u edge-inspect LOGGER=edge_inspect.edge.station.station PRIORITY=4` finds the warnings of stations.
    Records are sent in the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL). A record that the journal
    refuses is printed to standard error.

    Args:
        address: Socket of the journal.
    """

    def __init__(self, address: Path) -> None:
        super().__init__()
        self._address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        text = self.format(record)
        fields = {
            "MESSAGE": text,
            "PRIORITY": str(next((number for level, number in _PRIORITIES if record.levelno >= level), 7)),
            "SYSLOG_IDENTIFIER": "edge-inspect",
            "LOGGER": record.name,
            "THREAD_NAME": record.threadName or "",
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
        }
        try:
            self._socket.sendto(b"".join(_field(name, value) for name, value in fields.items()), self._address)
        except OSError:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


def _field(name: str, value: str) -> bytes:
    """Return a field in the form with a length before the value, so that the value may hold line breaks."""
    data = value.encode(errors="backslashreplace")
    return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
