"""The page as a service: connects stations, people and the broker from its start until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import time

from edge_inspect.edge.clock import ClockWatch
from edge_inspect.edge.identity import keep_identity
from edge_inspect.edge.page.app import Page, make_app
from edge_inspect.edge.page.bundle_folder import BundleFolder
from edge_inspect.edge.page.command_sender import CommandSender
from edge_inspect.edge.page.counters_file import CountersFile
from edge_inspect.edge.page.drawings import Drawings
from edge_inspect.edge.page.event_stream import EventStream
from edge_inspect.edge.page.feed import Feed
from edge_inspect.edge.page.line_view import LineView
from edge_inspect.edge.page.server import PageServer
from edge_inspect.edge.page.settings import PageSettings
from edge_inspect.edge.signals import Signals
from edge_inspect.edge.systemd import notify

log = logging.getLogger(__name__)

_TICK_S = 0.1
_SECOND_S = 1.0


def run(settings: PageSettings) -> None:
    """Serve the page until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: A file or folder cannot be used, or the page cannot listen on its address.
    """
    counters = CountersFile(settings.data / "counters.json")
    keep_identity(settings.data / "page")
    with Signals() as signals:
        asyncio.run(_serve(settings, counters, signals))


async def _serve(settings: PageSettings, counters: CountersFile, signals: Signals) -> None:
    line = LineView(settings, counters.stations)
    events = EventStream(line)
    page = Page(settings, line, events, CommandSender(settings.mqtt), BundleFolder(settings.bundles), Drawings())
    server = PageServer(make_app(page), settings.listen)
    sending = asyncio.ensure_future(events.run())
    feed = Feed(settings, asyncio.get_running_loop(), line.take, line.set_connected)
    try:
        await server.start()
        notify(READY=1)
        log.info("serving the page on %s", settings.listen.address)
        await _until_stopped(line, counters, signals)
        notify(STOPPING=1)
        events.close()
        await server.stop()
    finally:
        sending.cancel()
        await asyncio.to_thread(feed.close)
        counters.save(line.counters())


async def _until_stopped(line: LineView, counters: CountersFile, signals: Signals) -> None:
    clock, second_at = ClockWatch(), time.monotonic()
    while not signals.stop:
        await asyncio.sleep(_TICK_S)
        if time.monotonic() < second_at:
            continue
        second_at = time.monotonic() + _SECOND_S
        clock.look()
        line.tick()
        await asyncio.to_thread(counters.save, line.counters())
        notify(WATCHDOG=1)
