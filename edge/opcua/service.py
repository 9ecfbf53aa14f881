"""The OPC UA server as a service: connects stations, clients and the broker from its start until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from asyncua import Server

from edge_inspect.edge.clock import ClockWatch
from edge_inspect.edge.data_folder import held
from edge_inspect.edge.errors import ConfigurationError
from edge_inspect.edge.identity import keep_identity
from edge_inspect.edge.opcua.access import Access
from edge_inspect.edge.opcua.feed import Feed, Received
from edge_inspect.edge.opcua.part_history import PartHistory
from edge_inspect.edge.opcua.secure_server import make_server
from edge_inspect.edge.opcua.settings import OpcuaSettings
from edge_inspect.edge.opcua.stations import Stations
from edge_inspect.edge.page.audit import AuditLog
from edge_inspect.edge.page.command_sender import CommandSender
from edge_inspect.edge.signals import Signals
from edge_inspect.edge.systemd import notify

log = logging.getLogger(__name__)

_TICK_S = 0.1
_AT_ONCE = 50
"""Messages that are taken before the next look at the signals; thousands may wait after the broker was away."""
_SECOND_S = 1.0


def run(settings: OpcuaSettings) -> None:
    """Serve the stations until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: A file or folder cannot be used, or the server cannot listen on its address.
    """
    # asyncua says on level INFO what every client asks.
    logging.getLogger("asyncua").setLevel(logging.WARNING)
    # What keeps it from listening is said below, in one line.
    logging.getLogger("asyncua.server.server").setLevel(logging.CRITICAL)
    # It says on level ERROR that a wrong password is refused; `Access` logs that already, with the address.
    logging.getLogger("asyncua.server.uaprocessor").addFilter(_is_no_refused_login)
    # It warns of every variable that it makes of a type, because a type lacks the attributes of a variable.
    logging.getLogger("asyncua.common.copy_node_util").setLevel(logging.ERROR)
    with _ended_by_signals(), held(settings.data):
        keep_identity(settings.data / "opcua")
        asyncio.run(_serve(settings))


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGINT end the block at once, with status 0.

    To load the types keeps the thread busy for seconds, and for a minute on a busy box, during which nobody could look
    whether a signal has come. Nothing that has to be finished is begun before they are loaded.
    """

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(0)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_no_refused_login(record: logging.LogRecord) -> bool:
    return not (record.levelno == logging.ERROR and "(BadUserAccessDenied)" in record.getMessage())


async def _serve(settings: OpcuaSettings) -> None:
    with contextlib.ExitStack() as stack:
        audit = AuditLog(settings.data / "audit.jsonl")
        stack.callback(audit.close)
        history = PartHistory(settings.data / "history.db", settings.history)
        stack.callback(history.close)
        server = await make_server(settings, Access(settings))
        stations = Stations(server, history, CommandSender(settings.mqtt), audit, settings.stale_after_s)
        await stations.load()
        await _listen(server, settings)
        signals = stack.enter_context(Signals())
        feed = Feed(settings)
        received: list[Received] = []
        try:
            notify(READY=1)
            log.info("serving OPC UA on %s", settings.listen.url)
            await _until_stopped(stations, feed, received, signals)
            notify(STOPPING=1)
        finally:
            await asyncio.to_thread(feed.close)
            try:
                await stations.finish(received + feed.take())
            finally:
                await server.stop()


async def _listen(server: Server, settings: OpcuaSettings) -> None:
    try:
        await server.start()
    except OSError as error:
        where = f"{settings.listen.host}:{settings.listen.port}"
        raise ConfigurationError(
            f"listen: cannot listen on {where}: {error.strerror or error}; choose another port, or an address of this "
            "box"
        ) from error


async def _until_stopped(stations: Stations, feed: Feed, received: list[Received], signals: Signals) -> None:
    """Serve until a signal comes; what has come and could not be taken before it remains in `received`."""
    clock, second_at, connected = ClockWatch(), time.monotonic(), False
    while not signals.stop:
        await feed.wait(0 if received else _TICK_S)
        if not received:
            received += feed.take()
        if received:
            await stations.take(received[:_AT_ONCE])
            del received[:_AT_ONCE]
        elif stations.waiting:
            await stations.release()
        if feed.connected != connected or time.monotonic() >= second_at:
            connected, second_at = feed.connected, time.monotonic() + _SECOND_S
            await stations.grow_old(connected=connected)
            clock.look()
            notify(WATCHDOG=1)
