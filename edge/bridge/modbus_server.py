"""The Modbus TCP server: PLCs connect to it, and every request that arrives is answered, in order.

It is our own, for delivering verdicts is what this project exists for, and the server of pymodbus 3.16 did not deliver:
of several requests in one piece of TCP data it answers the first and drops the others; some refusals lack the request's
function code; it answers diagnostic functions with data of its own; and its interface for servers changes with every
minor release. What a server needs of the protocol are two small files, frame.py and answers.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass

from edge_inspect.edge.bridge.modbus_frame import NotModbusError, take_frames
from edge_inspect.edge.bridge.modbus_requests import ModbusRequests
from edge_inspect.edge.bridge.settings import ModbusSettings
from edge_inspect.edge.bridge.station import BridgedStation
from edge_inspect.edge.errors import ConfigurationError

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 64
REST_S = 10.0
"""How long a client may be silent in the middle of a request."""
LINGER_S = 1.0
"""How long a client that is hung up on may go on sending."""
_START_S = 10.0
_STOP_S = 5.0
_READ_BYTES = 4096
TCP_OPTIONS = {
    socket.TCP_KEEPIDLE: 60,
    socket.TCP_KEEPINTVL: 10,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 90_000,
}
"""How a client that lost its power or its cable is noticed: 60 + 3 * 10 s after it was last heard, or 90,000 ms after
an answer that it does not take."""


@dataclass(eq=False)
class _Connection:
    writer: asyncio.StreamWriter
    peer: str
    task: asyncio.Task[None]
    used_at: float
    has_asked: bool = False


class ModbusServer:
    """Serves from its making to `close`, in a thread of its own.

    A client that misbehaves harms nobody else:

    - Clients are answered in turns, one request each.
    - A client that does not read its answers gets no more, holds less than 100 KB, and is hung up on after 90 s.
    - A client that sends what is not Modbus, or a piece of a request and then nothing for 10 s, is hung up on.
    - There are 64 connections at most. To let a further client in, the oldest that has never asked is hung up on; where
      all have asked, the one whose last request is the longest ago.

    Args:
        settings: Where to listen.
        stations: In the order of their blocks.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """

    def __init__(self, settings: ModbusSettings, stations: Sequence[BridgedStation]) -> None:
        self._settings, self._answers = settings, ModbusRequests(stations)
        self._connections: set[_Connection] = set()
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="modbus", daemon=True)
        self._thread.start()
        try:
            self._started.result(_START_S)
        except (OSError, ValueError, FutureTimeoutError) as error:
            raise ConfigurationError(
                f"modbus: {settings.host}:{settings.port} cannot be listened on: {_explain(settings, error)}"
            ) from error

    def close(self) -> None:
        """Stop listening and hang up."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_STOP_S)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await asyncio.start_server(self._talk, self._settings.host, self._settings.port, limit=_READ_BYTES)
        except (OSError, ValueError) as error:
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        await self._stop.wait()
        server.close()
        for connection in self._connections:
            connection.writer.transport.abort()
        await asyncio.gather(*(connection.task for connection in self._connections))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = self._admit(writer)
        try:
            try:
                await self._answer_all(reader, connection)
            except NotModbusError as error:
                log.warning("Modbus: %s is hung up on: %s", connection.peer, error)
                await _hang_up(reader, writer)
            finally:
                # It counts until its last answers are sent: a client may never read them.
                writer.close()
                await writer.wait_closed()
        except OSError as error:
            log.debug("Modbus: %s is gone: %s", connection.peer, error)
        finally:
            self._connections.discard(connection)

    def _admit(self, writer: asyncio.StreamWriter) -> _Connection:
        """Count a new connection, and close another where there are too many.

        The new one is not refused: a PLC that was switched off and on must get in although its old connections seem to
        live.
        """
        if len(self._connections) >= MOST_CONNECTIONS:
            idle = min(self._connections, key=lambda one: (one.has_asked, one.used_at))
            log.warning("Modbus: %s is hung up on: there are %d connections", idle.peer, MOST_CONNECTIONS)
            self._connections.remove(idle)
            idle.writer.transport.abort()
        connected = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):  # it may be gone already
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in TCP_OPTIONS.items():
                connected.setsockopt(socket.IPPROTO_TCP, option, value)
        peer = ":".join(map(str, (writer.get_extra_info("peername") or ("an unknown client",))[:2]))
        task = asyncio.current_task()
        assert task is not None  # this is called in one
        connection = _Connection(writer, peer, task, self._loop.time())
        self._connections.add(connection)
        return connection

    async def _answer_all(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        """Answer until the client hangs up.

        Raises:
            NotModbusError: What the client sends cannot be answered.
            OSError: The connection was lost.
        """
        received = bytearray()
        while True:
            try:
                piece = await asyncio.wait_for(reader.read(_READ_BYTES), REST_S if received else None)
            except asyncio.TimeoutError as error:
                raise NotModbusError(
                    f"the rest of a request did not come for {REST_S:g} s; is it Modbus RTU?"
                ) from error
            if not piece:
                return
            received += piece
            for frame in take_frames(received):
                connection.has_asked, connection.used_at = True, self._loop.time()
                answer = frame._replace(pdu=self._answers.answer(frame.pdu))
                connection.writer.write(answer.to_bytes())
                await connection.writer.drain()
                # The others have their turn.
                await asyncio.sleep(0)


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say that there will be no more answers, and let those before arrive.

    What the client sends meanwhile is thrown away: unread, it would have the system throw away the answers.
    """

    async def throw_away() -> None:
        while await reader.read(_READ_BYTES):
            pass

    writer.write_eof()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(throw_away(), LINGER_S)


def _explain(settings: ModbusSettings, error: Exception) -> str:
    """Return why an address cannot be listened on, and what to do."""
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"this box knows no host {settings.host!r}; set modbus.host to an address of the PLC's network"
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return "the port is in use; end the other program, perhaps another bridge, or choose another modbus.port"
    if number == errno.EADDRNOTAVAIL:
        return "that is no address of this box (`ip address` lists them); set modbus.host to one, or to 0.0.0.0 for all"
    if number in (errno.EACCES, errno.EPERM):
        return "ports below 1024 need a privilege, which the systemd unit gives; or choose another modbus.port"
    return str(error) or f"nothing happened for {_START_S:g} s; see modbus.host"
