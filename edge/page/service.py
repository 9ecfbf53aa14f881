"""The page as a service: connects stations, people and the broker from its start until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial

from edge_inspect.edge.clock import ClockWatch
from edge_inspect.edge.contract.messages import Verdict
from edge_inspect.edge.data_folder import held
from edge_inspect.edge.identity import keep_identity
from edge_inspect.edge.labels.label import PartKey
from edge_inspect.edge.labels.store import LabelStore
from edge_inspect.edge.page.app import make_app
from edge_inspect.edge.page.audit import AuditLog
from edge_inspect.edge.page.bundle_folder import BundleFolder, find_bundle
from edge_inspect.edge.page.command_sender import CommandSender
from edge_inspect.edge.page.counters_file import CountersFile
from edge_inspect.edge.page.drawings import Drawings
from edge_inspect.edge.page.event_stream import EventStream
from edge_inspect.edge.page.feed import Feed
from edge_inspect.edge.page.label_publisher import LabelPublisher
from edge_inspect.edge.page.likeness import Likeness
from edge_inspect.edge.page.line_view import LineView, Received
from edge_inspect.edge.page.page import Page
from edge_inspect.edge.page.part_store import PartStore
from edge_inspect.edge.page.people import People
from edge_inspect.edge.page.review import Review
from edge_inspect.edge.page.server import PageServer
from edge_inspect.edge.page.settings import PageSettings
from edge_inspect.edge.page.teaching import Teaching
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
    with held(settings.data), Signals() as signals:
        counters = CountersFile(settings.data / "counters.json")
        keep_identity(settings.data / "page")
        asyncio.run(_serve(settings, counters, signals))


async def _serve(settings: PageSettings, counters: CountersFile, signals: Signals) -> None:
    with contextlib.ExitStack() as stack:
        page = _open(settings, counters, stack)
        await _run(page, counters, signals)


def _open(settings: PageSettings, counters: CountersFile, stack: contextlib.ExitStack) -> Page:
    """Open all services; `stack` closes them.

    Raises:
        EdgeInspectError: A file cannot be used.
    """
    audit = AuditLog(settings.data / "audit.jsonl")
    stack.callback(audit.close)
    people = _people(settings, audit)
    stack.callback(people.close)
    labels = stack.enter_context(LabelStore(settings.data / "labels"))
    line = LineView(settings, counters.stations)
    line.label_of = lambda station, identity: _word(labels, station, identity)
    parts = _parts(settings, line, labels)
    stack.callback(parts.close)
    likeness = Likeness(parts, settings.data, partial(find_bundle, settings.bundles))
    stack.callback(likeness.close)
    events, bundles = EventStream(line), BundleFolder(settings.bundles)
    return Page(
        settings=settings,
        line=line,
        events=events,
        commands=CommandSender(settings.mqtt),
        bundles=bundles,
        drawings=Drawings(),
        people=people,
        audit=audit,
        labels=labels,
        parts=parts,
        review=Review(parts, labels, audit, likeness),
        teaching=Teaching(settings, labels, bundles, lambda job: events.send("teaching", {"job": job.as_dict()})),
    )


def _parts(settings: PageSettings, line: LineView, labels: LabelStore) -> PartStore:
    """Open the parts on disk, and let the live view know of their pictures."""
    loop = asyncio.get_running_loop()

    def found(keys: list[PartKey]) -> None:
        for key in keys:
            loop.call_soon_threadsafe(line.refresh_part, *key)

    parts = PartStore(settings.evidence, settings.data, settings.received_bytes, labels, line.keys, found)
    line.has_stored = lambda name: parts.has(PartKey(name.station, name.identity), name.kind)
    return parts


def _people(settings: PageSettings, audit: AuditLog) -> People:
    listen = settings.listen
    return People(
        settings.users,
        settings.data,
        audit,
        session_hours=settings.session_hours,
        display_without_login=settings.display_without_login,
        tls=listen.certificate is not None,
        loopback=listen.is_loopback,
        proxies=listen.proxies if listen.behind_proxy else (),
    )


def _word(labels: LabelStore, station: str, identity: str) -> str | None:
    present = labels.word(PartKey(station, identity))
    return present.word if present is not None else None


async def _run(page: Page, counters: CountersFile, signals: Signals) -> None:
    settings, line, events = page.settings, page.line, page.events
    server = PageServer(make_app(page), settings.listen)
    sending = asyncio.ensure_future(events.run())
    publisher = LabelPublisher(page.labels)
    page.labels.on_new = publisher.wake
    feed = Feed(settings, asyncio.get_running_loop(), partial(_take, page), line.set_connected, publisher)
    try:
        await server.start()
        notify(READY=1)
        log.info("serving the page on %s", settings.listen.address)
        await _until_stopped(line, counters, signals, sending)
        notify(STOPPING=1)
        events.close()
        await server.stop()
    finally:
        sending.cancel()
        await page.teaching.close()
        await asyncio.to_thread(feed.close)
        counters.save(line.counters())


def _take(page: Page, received: list[Received]) -> None:
    """Let the live view and the parts on disk take what has come."""
    page.line.take(received)
    for each in received:
        if each.picture is not None and isinstance(each.message, bytes):
            keep = page.parts.receive_picture if each.picture.kind == "picture" else page.parts.receive_map
            keep(each.station, each.picture.identity, each.message)
        elif isinstance(each.message, Verdict):
            page.parts.receive(each.station, each.message)


async def _until_stopped(
    line: LineView, counters: CountersFile, signals: Signals, sending: asyncio.Future[None]
) -> None:
    clock, second_at = ClockWatch(), time.monotonic()
    while not signals.stop:
        await asyncio.sleep(_TICK_S)
        if sending.done():
            sending.result()  # raises what ended it, so that systemd starts the page again
        if time.monotonic() < second_at:
            continue
        second_at = time.monotonic() + _SECOND_S
        clock.look()
        line.tick()
        await asyncio.to_thread(counters.save, line.counters())
        notify(WATCHDOG=1)
