"""The Modbus TCP server: PLCs connect to it, and it answers every request in the order of arrival.

We wrote our own because the server of pymodbus 3.16 has faults that lose verdicts. If one piece of TCP data contains
several requests, it answers the first and drops the others. Some of its refusals lack the request's function code. It
answers diagnostic functions with made-up data. And its interface for servers changes with every minor release. The
parts of the protocol that a server needs are two small files, modbus_frame.py and modbus_requests.py.
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
"""Longest silence of a client in the middle of a request, in seconds."""
LINGER_S = 1.0
"""Time for which a client may go on sending after its connection is being closed, in seconds."""
_START_S = 10.0
_STOP_S = 5.0
_READ_BYTES = 4096
TCP_OPTIONS = {
    socket.TCP_KEEPIDLE: 60,
    socket.TCP_KEEPINTVL: 10,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 90_000,
}
"""TCP options that detect a client without power or cable: 60 + 3 × 10 s after its last packet, or 90,000 ms after an
answer that it does not acknowledge."""


@dataclass(eq=False)
class _Connection:
    writer: asyncio.StreamWriter
    peer: str
    task: asyncio.Task[None]
    used_at: float
    has_asked: bool = False


class ModbusServer:
    """Serves PLCs in a thread of its own, from its creation until `close`.

    A client that misbehaves does not disturb the others:

    - Clients are answered in turns, one request each.
    - A client that does not read its answers gets no more of them. It occupies less than 100 KB, and its connection is
      closed after 90 s.
    - The connection of a client is closed if it sends anything but Modbus, or a piece of a request and then nothing for
      10 s.
    - There are at most 64 connections. If one more client connects, the oldest connection without any request is
      closed. If all have sent requests, the one whose last request is the oldest is closed.

    Args:
        settings: Address to listen on.
        stations: Stations in the order of their blocks of registers.

    Raises:
        ConfigurationError: The server cannot listen on the address.
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
                f"modbus: cannot listen on {settings.host}:{settings.port}: {_explain(settings, error)}"
            ) from error

    def close(self) -> None:
        """Stop listening and close all connections."""
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
                log.warning("Modbus: the connection of %s is closed: %s", connection.peer, error)
                await _hang_up(reader, writer)
            finally:
                # The connection is counted until its last answers are sent, because a client may never read them.
                writer.close()
                await writer.wait_closed()
        except OSError as error:
            log.debug("Modbus: the connection of %s was lost: %s", connection.peer, error)
        finally:
            self._connections.discard(connection)

    def _admit(self, writer: asyncio.StreamWriter) -> _Connection:
        """Count a new connection, and close another one if there are too many.

        The new connection is not refused: a PLC that was switched off and on must be able to connect although its old
        connections still seem to be alive.
        """
        if len(self._connections) >= MOST_CONNECTIONS:
            idle = min(self._connections, key=lambda one: (one.has_asked, one.used_at))
            log.warning("Modbus: the connection of %s is closed: there are %d connections", idle.peer, MOST_CONNECTIONS)
            self._connections.remove(idle)
            idle.writer.transport.abort()
        connected = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):  # the client may have closed the connection already
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in TCP_OPTIONS.items():
                connected.setsockopt(socket.IPPROTO_TCP, option, value)
        peer = ":".join(map(str, (writer.get_extra_info("peername") or ("an unknown client",))[:2]))
        task = asyncio.current_task()
        assert task is not None  # this method runs inside a task
        connection = _Connection(writer, peer, task, self._loop.time())
        self._connections.add(connection)
        return connection

    async def _answer_all(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        """Answer requests until the client closes the connection.

        Raises:
            NotModbusError: The client's bytes are not Modbus TCP, or the rest of a request does not come.
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
                # Let the other clients have their turn.
                await asyncio.sleep(0)


async def _hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close the sending side, and wait until the answers before it have arrived.

    Data that the client sends meanwhile is read and discarded. Left unread, it would make the operating system reset
    the connection and discard the answers.
    """

    async def throw_away() -> None:
        while await reader.read(_READ_BYTES):
            pass

    writer.write_eof()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(throw_away(), LINGER_S)


def _explain(settings: ModbusSettings, error: Exception) -> str:
    """Return why the server cannot listen on its address, and what to do."""
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return f"the host name {settings.host!r} is unknown; set modbus.host to the box's address in the PLC's network"
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return "the port is in use; stop the other program, perhaps another bridge, or choose another modbus.port"
    # From Python 3.13 on, asyncio leaves out the number if the box has none of the addresses.
    if number == errno.EADDRNOTAVAIL or (number is None and type(error) is OSError):
        return (
            "this box does not have that address; set modbus.host to one that `ip address` lists, or to 0.0.0.0 for all"
        )
    if number in (errno.EACCES, errno.EPERM):
        return "a port below 1024 needs a privilege, which the systemd unit gives; or choose another modbus.port"
    return str(error) or f"the server did not start within {_START_S:g} s; check modbus.host"
