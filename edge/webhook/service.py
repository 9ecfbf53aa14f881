"""The webhook as a service: from its start until SIGTERM."""

from __future__ import annotations

import contextlib
import logging
import time

from edge_inspect.edge.contract.messages import State
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.health.histogram import Histogram
from edge_inspect.edge.health.http import HealthServer, of_stations
from edge_inspect.edge.health.report import StationReport
from edge_inspect.edge.identity import keep_identity
from edge_inspect.edge.outbox.sqlite import SqliteOutbox
from edge_inspect.edge.signals import Signals
from edge_inspect.edge.systemd import notify
from edge_inspect.edge.webhook.dead_letters import DeadLetters
from edge_inspect.edge.webhook.sender import TargetSender
from edge_inspect.edge.webhook.settings import WebhookSettings
from edge_inspect.edge.webhook.subscriber import WebhookSubscriber

log = logging.getLogger(__name__)

_TICK_S = 0.1
_BEAT_S = 1.0


def run(settings: WebhookSettings) -> None:
    """Post messages until SIGTERM or SIGINT.

    Raises:
        OutboxError: The outbox cannot be used.
        ConfigurationError: The port of `health.http_port` is taken.
    """
    with Signals() as signals, contextlib.ExitStack() as stack:
        outbox = stack.enter_context(SqliteOutbox(**settings.outbox.model_dump()))
        keep_identity(settings.outbox.path)
        dead_letters = DeadLetters(settings.dead_letters)
        senders = []
        for target in settings.targets:
            senders.append(TargetSender(target, outbox, dead_letters))
            stack.callback(senders[-1].close)
        subscriber = WebhookSubscriber(settings, outbox)
        stack.callback(subscriber.close)
        if settings.health.http_port is not None:

            def read() -> tuple[list[str], list[StationReport]]:
                common = _common_trouble(subscriber, outbox)
                return [], [_report(settings.name, sender, common) for sender in senders]

            stack.callback(HealthServer(settings.health.http_port, of_stations(read)).close)
        notify(READY=1)
        log.info("posting messages of %s to %d target(s)", ", ".join(settings.stations), len(senders))
        beat_at = 0.0
        while signals.stop is None and subscriber.alive and all(sender.alive for sender in senders):
            time.sleep(_TICK_S)
            if time.monotonic() < beat_at:
                continue
            beat_at = time.monotonic() + _BEAT_S
            outbox.retry()
            said = [f"{sender.name}: {sender.trouble}" for sender in senders if sender.trouble is not None]
            common = _common_trouble(subscriber, outbox)
            notify(WATCHDOG=1, STATUS="; ".join([common, *said] if common is not None else said) or "delivering")
        if signals.stop is None:
            log.critical("a thread has ended because of an error here, so the webhook ends")
        notify(STOPPING=1)
        # All of them end at once, while the connection to the broker is closed, and not one after another.
        for sender in senders:
            sender.ask_to_end()


def _common_trouble(subscriber: WebhookSubscriber, outbox: SqliteOutbox) -> str | None:
    """Return what holds up the messages of all targets; `None`: nothing."""
    if outbox.problem is not None:
        return f"the outbox's file {outbox.problem}"
    return None if subscriber.connected else "no connection to the broker"


def _report(name: str, sender: TargetSender, common: str | None) -> StationReport:
    """Return the state of a target in the form of a station's, for `/healthz` and `/metrics`."""
    trouble = sender.trouble or common
    state: State = "online" if trouble is None else "degraded"
    return StationReport(Topics("webhook", name, sender.name), state, trouble, Histogram().buckets(), None)
