"""One browser's connection, as uvicorn serves it, with a limit on the time that a request may take to arrive."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 20.0
"""Seconds after which a connection is closed that has not sent a whole request line and its headers."""
TCP_OPTIONS = {
    socket.TCP_NODELAY: 1,
    socket.TCP_KEEPIDLE: 30,
    socket.TCP_KEEPINTVL: 10,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 30_000,
}
"""TCP options that end the connection of a browser without power or network: after a minute of silence, or 30,000 ms
after data that it does not take."""


class HttpConnection(H11Protocol):
    """A connection that is closed if it sends no request.

    uvicorn limits only the pause between two requests, so a client could hold a connection with half a request.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._limit = self.loop.call_later(REQUEST_S, self._give_up)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        had = self.cycle
        if self._waits_for_a_request() and self._limit.cancelled():
            self._limit = self.loop.call_later(REQUEST_S, self._give_up)
        super().data_received(data)
        if self.cycle is not had:
            self._limit.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._limit.cancel()
        super().connection_lost(exc)

    def _waits_for_a_request(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _give_up(self) -> None:
        if self._waits_for_a_request():
            self.transport.abort()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens, with `TCP_OPTIONS`, which every connection inherits.

    Raises:
        OSError: The host is no address of this box, or the port is taken.
    """
    found: list[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in TCP_OPTIONS.items():
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
        listener.bind(address)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener
