"""The joiner as a station: its status, its health, and its answers to commands."""

from __future__ import annotations

import logging
import time
from typing import Any

from edge_inspect.edge import __version__
from edge_inspect.edge.clock import ClockWatch
from edge_inspect.edge.contract.commands import AnyCommand, Refused, Report, Resend, ReturnAddress, Verb
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.health import ClockHealth, Health, MqttHealth, OutboxHealth
from edge_inspect.edge.contract.messages import REASONS_OF_VIEWS, State, Status, Verdict
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.reports import EvidencePage
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.health.machine import Machine
from edge_inspect.edge.log_ring import RING
from edge_inspect.edge.mqtt.publisher import Publisher
from edge_inspect.edge.outbox import Outbox
from edge_inspect.edge.station.command_admission import CommandAdmission
from edge_inspect.edge.station.resend import resend
from edge_inspect.edge.station.statistics import Statistics
from edge_inspect.edge.views.settings import ViewsSettings

log = logging.getLogger(__name__)

_COMMANDS: tuple[Verb, ...] = ("resend", "report")
_COMMAND_AGE_S = 60.0


class JointStation:
    """Publishes the joint verdicts from the outbox, status and health. Every method may be called from any thread.

    It carries out the commands `resend` and `report`; all others belong to the stations of the views, and are refused.
    It stores no evidence, so its index of evidence is empty.

    Args:
        settings: The whole configuration.
        outbox: Outbox of the joint verdicts.
        boot_id: Id of this box's boot.
    """

    def __init__(self, settings: ViewsSettings, outbox: Outbox, boot_id: str) -> None:
        self._topics = Topics(settings.site, settings.line, settings.station)
        self._outbox, self._boot_id = outbox, boot_id
        self._statistics, self._machine = Statistics(), Machine(settings.outbox.path.parent, settings.outbox.max_bytes)
        self._started = time.monotonic()
        self._clock = ClockWatch()
        self._newest: Verdict | None = None
        self._why_deaf: str | None = None
        self._without: str | None = None
        self._status = self._make_status("starting", "no connection to the views yet")
        self._admission = CommandAdmission(_COMMANDS, _COMMAND_AGE_S)
        self.publisher = Publisher(
            self._topics, outbox, settings.mqtt, self._status, self._on_command, allowed=_COMMANDS
        )

    def count(self, verdict: Verdict) -> None:
        """Count a joint verdict that is in the outbox."""
        self._statistics.count(verdict.ok, verdict.latency_ms)
        self._newest = verdict
        if verdict.reason in REASONS_OF_VIEWS:
            said = [f"view {view.name}: {view.problem}" for view in verdict.views or () if view.problem is not None]
            self._without = f"part {verdict.sequence} was rejected: {'; '.join(said)}"
            log.warning("%s", self._without)

    def look(self, why_deaf: str | None) -> None:
        """Look whether the clock was set, and publish the status if it has changed; call this about once a second.

        Args:
            why_deaf: Why a view cannot be heard now; `None` if all can.
        """
        self._clock.look()
        self._why_deaf = why_deaf
        self._show_status()

    def publish_health(self, of_view: Health | None) -> bool:
        """Publish health. A part that was rejected for a missing view degrades the status until then.

        Args:
            of_view: Health of a view. Until the first joint verdict, engine, precision, bundle and threshold are those
                of this view, because health must name some.

        Returns:
            False: neither a joint verdict nor the health of a view has come yet, so nothing can be published.
        """
        of = self._newest or of_view
        if of is None:
            return False
        if (shown := self._without) is not None:
            self._show_status()
            # The other thread may have told of another part meanwhile.
            self._without = None if self._without is shown else self._without
        depth, dropped, machine = self._outbox.depth(), self._outbox.dropped(), self._machine.look()
        self.publisher.publish_health(
            Health(
                boot_id=self._boot_id,
                sequence=self._outbox.sequence(self._topics.station),
                at=utc_now(),
                uptime_s=time.monotonic() - self._started,
                frames=self._statistics.frames(0),
                fps=self._statistics.fps(),
                latency_ms=self._statistics.latency(),
                outbox=OutboxHealth(
                    entries=depth.entries,
                    bytes=depth.bytes,
                    dropped_verdicts=dropped["verdict"],
                    dropped_defects=dropped["defect"],
                    problem=self._outbox.problem,
                    set_aside=str(self._outbox.recovered_from) if self._outbox.recovered_from else None,
                ),
                mqtt=MqttHealth(
                    connected=self.publisher.connected,
                    reconnects=self.publisher.reconnects,
                    set_aside=self.publisher.set_aside,
                ),
                commands=self._admission.counts(),
                engine=of.engine,
                precision=of.precision,
                bundle=of.bundle,
                threshold=of.threshold,
                warnings=machine.warnings,
                disk_free_bytes=machine.free_bytes,
                throttled=machine.throttled,
                temperature_c=machine.temperature_c,
                clock=ClockHealth(steps=self._clock.steps, last_step_s=self._clock.last_step_s),
            )
        )
        return True

    def _show_status(self) -> None:
        reason = self._why_deaf or self._without
        state: State = "online" if reason is None else "degraded"
        if (state, reason) == (self._status.state, self._status.reason):
            return
        self._status = self._make_status(state, reason)
        self.publisher.set_status(self._status)

    def _make_status(self, state: State, reason: str | None) -> Status:
        return Status(
            boot_id=self._boot_id,
            sequence=self._outbox.sequence(self._topics.station),
            state=state,
            at=utc_now(),
            reason=reason,
            version=__version__,
        )

    def _on_command(self, payload: bytes, retained: bool, back: ReturnAddress | None) -> None:
        sender, command, refused = self._admission.receive(payload, retained=retained)
        fields: dict[str, Any] = {}
        if command is not None:
            try:
                fields = self._carry_out(command)
            except Refused as problem:
                refused = problem
        self._admission.count(refused)
        log.info("command %s %s: %s", sender.command, sender.id, "done" if refused is None else repr(str(refused)))
        self.publisher.reply(
            Reply(
                boot_id=self._boot_id,
                sequence=self._outbox.sequence(self._topics.station),
                command_id=sender.id,
                command=sender.command,
                at=utc_now(),
                done=refused is None,
                refusal=refused.refusal if refused else None,
                reason=str(refused) if refused else None,
                **fields,
            ),
            back,
        )

    def _carry_out(self, command: AnyCommand) -> dict[str, Any]:
        """Carry out a command, and return the fields that it adds to its reply.

        Raises:
            Refused: It cannot be carried out.
        """
        if isinstance(command, Resend):
            return {"resend": resend(command, self._outbox, self._topics.station, self.publisher)}
        if isinstance(command, Report) and command.what == "log":
            return {"log": RING.page(command.after)}
        return {"evidence": EvidencePage(parts=(), next=None)}
