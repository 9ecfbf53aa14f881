"""An HTTP connection that can be given up at any time: at a stop, at a deadline, or if the server is too slow.

A timeout of the socket does not do that: a server that sends one byte every few seconds never reaches it.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, cast

from edge_inspect.edge.bundle.web_address import WebAddress
from edge_inspect.edge.errors import PullError

CONNECT_S = 10.0
"""Longest time for the connection, and again for the TLS handshake, in seconds."""
_TURN_S = 0.2


class Stopped(PullError):
    """The service is stopping, so nothing more is fetched."""

    def __init__(self) -> None:
        super().__init__("the service is stopping; send the command again after its next start")


class Pace:
    """The deadline and the lowest speed of a download, which any wait of the download has to check.

    Args:
        timeout_s: Longest time for everything, in seconds from now.
        slowest: Lowest speed that is accepted, in bytes a second.
        window_s: Time over which the speed is measured, in seconds.
        stopped: Returns whether the service is stopping.
    """

    def __init__(self, timeout_s: float, slowest: float, window_s: float, stopped: Callable[[], bool]) -> None:
        self._timeout_s, self._slowest, self._window_s, self._stopped = timeout_s, slowest, window_s, stopped
        self._end = time.monotonic() + timeout_s
        self._since, self._received = time.monotonic(), 0

    def begin(self) -> None:
        """Measure the speed anew, because a new request begins."""
        self._since, self._received = time.monotonic(), 0

    def count(self, received: int) -> None:
        """Count bytes that have come."""
        self._received += received

    def check(self) -> None:
        """Return if the download may go on.

        Raises:
            Stopped: The service is stopping.
            PullError: The time is over, or the server is too slow.
        """
        self.check_time()
        seconds = time.monotonic() - self._since
        if seconds < self._window_s:
            return
        if self._received < self._slowest * seconds:
            raise PullError(
                f"the server is too slow: {self._received} bytes came in {seconds:.0f} s; send the command again, "
                "or lower bundles.pull.slowest_kb_s"
            )
        self.begin()

    def check_time(self) -> None:
        """Return if the service is not stopping and the time is not over; else raise the same as `check`."""
        if self._stopped():
            raise Stopped
        if time.monotonic() > self._end:
            raise PullError(
                f"it took longer than {self._timeout_s:g} s; send the command again, which goes on where this one "
                "ended, or raise bundles.pull.timeout_s"
            )

    def wait(self, seconds: float) -> None:
        """Wait some seconds; raise the same as `check_time`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.check_time()
            time.sleep(min(_TURN_S, seconds))


class PatientConnection:
    """One connection for one request.

    Args:
        address: The file that is requested.
        context: Context of a TLS connection; `None` for plain http.
        pace: Pace that every wait for the server checks, once the connection is made.
        connect_s: Longest time for the connection, again for the TLS handshake, and again until the server has accepted
            a body that is posted, in seconds. `pace` ends none of these.

    Raises:
        OSError: The server cannot be reached, or its certificate is not accepted.
    """

    def __init__(
        self, address: WebAddress, context: ssl.SSLContext | None, pace: Pace, connect_s: float = CONNECT_S
    ) -> None:
        self._address, self._connect_s = address, connect_s
        where = address.host, address.port
        self._connection = (
            http.client.HTTPConnection(*where, timeout=connect_s)
            if context is None
            else http.client.HTTPSConnection(*where, timeout=connect_s, context=context)
        )
        pace.check_time()
        try:
            self._connection.connect()
        except BaseException:
            self._connection.close()
            raise
        self._socket: socket.socket = self._connection.sock
        self._socket.settimeout(_TURN_S)
        pace.begin()
        # http.client only writes the request to it and makes a file of it.
        self._connection.sock = cast(Any, _PatientSocket(self._socket, pace))

    def get(self, headers: dict[str, str]) -> http.client.HTTPResponse:
        """Request the file, and return the response when its headers have come.

        Raises:
            OSError, http.client.HTTPException: The connection broke, or the answer is no HTTP.
            PullError: As `Pace.check`, also from every method of the response that reads.
        """
        self._connection.request("GET", self._address.target, headers=headers)
        return self._connection.getresponse()

    def post(self, headers: dict[str, str], body: bytes) -> http.client.HTTPResponse:
        """Send a body, and return the response when its headers have come.

        Raises:
            OSError, http.client.HTTPException: The connection broke, or the answer is no HTTP.
            Exception: Whatever `pace` raises, as with `get`.
        """
        self._socket.settimeout(self._connect_s)  # a slow connection may take a while to accept the body
        self._connection.request("POST", self._address.target, body=body, headers=headers)
        self._socket.settimeout(_TURN_S)
        return self._connection.getresponse()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def try_server(address: WebAddress, context: ssl.SSLContext | None) -> str | None:
    """Connect to the server of an address; return why that fails, `None` if it answers. Nothing is requested."""
    pace = Pace(2 * CONNECT_S, 0, CONNECT_S, lambda: False)
    try:
        PatientConnection(address, context, pace).close()
    except OSError as error:
        return explain(error)
    return None


def explain(error: OSError, ca_setting: str = "bundles.pull.ca_file") -> str:
    """Return why a server cannot be reached, with the remedy if its certificate is not accepted.

    Args:
        error: The error.
        ca_setting: The setting that names the CAs of the server's certificate.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not accepted: {error.verify_message}; set {ca_setting} to the CA "
            "that issued it, or correct the server's name in the URL"
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return f"the server cannot be reached: {error.strerror or error}"


class _PatientSocket:
    """The part of a socket that `http.client` uses. `PatientConnection` closes the socket itself."""

    def __init__(self, real: socket.socket, pace: Pace) -> None:
        self._real, self._pace = real, pace

    def sendall(self, data: bytes) -> None:
        self._real.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_PatientFile(self._real, self._pace))

    def close(self) -> None:
        """Keep the socket open: `http.client` closes it before the response is read."""


class _PatientFile(io.RawIOBase):
    def __init__(self, real: socket.socket, pace: Pace) -> None:
        self._real, self._pace = real, pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            self._pace.check()
            try:
                received = self._real.recv_into(buffer)
            except TimeoutError:
                continue
            self._pace.count(received)
            return received
