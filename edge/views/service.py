"""The joiner as a service: from its start until SIGTERM."""

from __future__ import annotations

import contextlib
import logging
import time

from edge_inspect.edge.identity import keep_identity, read_boot_id
from edge_inspect.edge.outbox.sqlite import SqliteOutbox
from edge_inspect.edge.signals import Signals
from edge_inspect.edge.systemd import notify
from edge_inspect.edge.views.joined_line import JoinedLine
from edge_inspect.edge.views.settings import ViewsSettings
from edge_inspect.edge.views.station import JointStation
from edge_inspect.edge.views.store import ViewStore
from edge_inspect.edge.views.subscriber import ViewSubscriber

log = logging.getLogger(__name__)

_TICK_S = 0.1
_BEAT_S = 1.0


def run(settings: ViewsSettings) -> None:
    """Join the views until SIGTERM or SIGINT.

    Raises:
        OutboxError: The outbox or the joiner's own file cannot be used, or can no longer be written.
        Exception: The thread that joins ended with an error, which is a mistake in the code.
    """
    boot_id = read_boot_id()
    with Signals() as signals, contextlib.ExitStack() as stack:
        outbox = stack.enter_context(SqliteOutbox(**settings.outbox.model_dump()))
        keep_identity(settings.outbox.path)
        store = stack.enter_context(ViewStore(settings.store))
        station = JointStation(settings, outbox, boot_id)
        stack.callback(station.publisher.close)
        line = JoinedLine(settings, outbox, store, boot_id, station.count, time.monotonic())
        subscriber = ViewSubscriber(settings.station, settings.mqtt, line)
        stack.callback(subscriber.close)
        notify(READY=1)
        log.info("joining %d views into station %s", len(settings.views), settings.station)
        beat_at = health_at = 0.0
        while signals.stop is None and subscriber.failure is None and subscriber.alive:
            time.sleep(_TICK_S)
            now = time.monotonic()
            if now >= beat_at:
                beat_at = now + _BEAT_S
                station.look(subscriber.why_deaf)
                outbox.retry()
                notify(WATCHDOG=1)
            known = [view.health for view in line.views if view.health is not None]
            if now >= health_at and station.publish_health(known[0] if known else None):
                health_at = now + settings.health_every_s
        notify(STOPPING=1)
        if subscriber.failure is not None:
            raise subscriber.failure
