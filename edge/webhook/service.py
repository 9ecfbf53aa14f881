"""The webhook as a service: from its start until SIGTERM."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence

from edge_inspect.edge import __version__
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.messages import Status
from edge_inspect.edge.identity import keep_identity, read_boot_id
from edge_inspect.edge.mqtt.publisher import Publisher
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
    """
    kept = settings.outbox
    with Signals() as signals, contextlib.ExitStack() as stack:
        outbox = stack.enter_context(
            SqliteOutbox(
                kept.path,
                durability=kept.durability,
                max_bytes=kept.max_bytes,
                max_age_s=kept.max_age_s,
                when_full=kept.when_full,
                history_bytes=kept.history_bytes,
            )
        )
        keep_identity(kept.path)
        dead_letters = DeadLetters(settings.dead_letters)
        senders = []
        for target in settings.targets:
            senders.append(TargetSender(target, outbox, dead_letters))
            stack.callback(senders[-1].close)
        status = _status("starting", None)
        publisher = Publisher(settings.topics, outbox, settings.mqtt, status)
        stack.callback(publisher.close)
        subscriber = WebhookSubscriber(settings, outbox)
        stack.callback(subscriber.close)
        notify(READY=1)
        log.info("posting messages of %s to %d target(s)", ", ".join(settings.stations), len(senders))
        beat_at = 0.0
        while signals.stop is None:
            time.sleep(_TICK_S)
            if time.monotonic() < beat_at:
                continue
            beat_at = time.monotonic() + _BEAT_S
            outbox.retry()
            reason = _reason(settings, senders, outbox)
            state = "online" if reason is None else "degraded"
            if (state, reason) != (status.state, status.reason):
                status = _status(state, reason)
                publisher.set_status(status)
            notify(WATCHDOG=1, STATUS=reason or "delivering")
        notify(STOPPING=1)


def _reason(settings: WebhookSettings, senders: Sequence[TargetSender], outbox: SqliteOutbox) -> str | None:
    """Return what does not work now, or what was given up since the start; `None` if all was delivered."""
    said = [
        f"target {target.name}: {sender.problem}"
        for target, sender in zip(settings.targets, senders, strict=True)
        if sender.problem is not None
    ]
    said += [
        f"target {target.name}: {sender.refused} message(s) refused, see {settings.dead_letters}"
        for target, sender in zip(settings.targets, senders, strict=True)
        if sender.refused
    ]
    if outbox.problem is not None:
        said.append(f"the outbox's file {outbox.problem}")
    return "; ".join(said) or None


def _status(state: str, reason: str | None) -> Status:
    fields = {"boot_id": read_boot_id(), "sequence": 0, "state": state, "at": utc_now(), "reason": reason}
    return Status.model_validate({**fields, "version": __version__})
