"""systemd's side of the service: readiness, its watchdog, and the journal. Where systemd is not, nothing is done."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from pathlib import Path

JOURNAL = Path("/run/systemd/journal/socket")
# Of syslog, by the level of Python's logging.
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def notify(**fields: str | int | None) -> None:
    """Tell systemd (Type=notify) how the service stands, in sd_notify's fields: `READY=1`, `STATUS=...`.

    A field that is `None` is left out.
    A systemd that does not listen is no reason to stop inspecting.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    message = "\n".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(message.encode())


def watchdog_usec() -> int | None:
    """Return WatchdogSec of the unit, in microseconds; `None` where this process has no watchdog."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    return int(usec) if usec.isdigit() and pid in ("", str(os.getpid())) else None


def give_time(usec: int) -> None:
    """Have the watchdog wait so long from now on; where there is none, none is begun: nobody would feed it."""
    if watchdog_usec() is not None:
        notify(WATCHDOG_USEC=usec)


def log_handler() -> logging.Handler:
    """Return where the log goes: the journal with its fields where systemd has connected it, else standard error."""
    stream, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    with contextlib.suppress(OSError, ValueError):
        found = os.fstat(sys.stderr.fileno())
        if (str(found.st_dev), str(found.st_ino)) == (stream, inode) and JOURNAL.exists():
            return JournalHandler(JOURNAL)
    return logging.StreamHandler()


class JournalHandler(logging.Handler):
    """Sends each record to the journal as fields: the message, priority, logger, thread and place in the code.

    `journalctl -u edge-inspect LOGGER=edge_inspect.edge.station.station PRIORITY=4` then finds the warnings of
    stations. Records are written in the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL); what the
    journal does not take goes to standard error.

    Args:
        address: The journal's socket.
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
    """Return a field with its length before its value, which may then hold line breaks."""
    data = value.encode(errors="backslashreplace")
    return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
