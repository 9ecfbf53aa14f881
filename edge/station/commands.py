"""What a station does when it is told to: the commands of the contract, each carried out or refused, and answered."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import cv2

from edge_inspect.edge.configuration.settings import CommandSettings, StationSettings
from edge_inspect.edge.contract.commands import (
    AnyCommand,
    BundleChange,
    ChangeBundle,
    GoShadow,
    Pause,
    Refused,
    Reply,
    Resend,
    Resume,
    ReturnAddress,
    Sender,
    SequenceRange,
    SetThreshold,
    Snapshot,
    ThresholdChange,
    Trigger,
    Verb,
)
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.health import CommandCounts
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.station.box import Box
from edge_inspect.edge.station.command_desk import CommandDesk
from edge_inspect.edge.station.gate import Gate
from edge_inspect.edge.station.inspector import Asker, Inspector
from edge_inspect.edge.station.shadow import Shadow
from edge_inspect.edge.station.state import StationState
from edge_inspect.edge.station.threshold_record import ThresholdEntry

log = logging.getLogger(__name__)

_EARLY = 64
Fields = dict[str, Any]
"""What a reply has beside what every reply has; `None` where it comes later."""


class Answers(Protocol):
    """Where replies go; `edge.mqtt.publisher.Publisher` is one."""

    def reply(self, reply: Reply, back: ReturnAddress | None = None) -> None:
        """Publish a reply, and send it to whom else wants it."""

    def publish_image(self, identity: str, jpeg: bytes) -> str | None:
        """Publish a picture; return its topic, or `None` where it cannot be."""

    def resend(self, first: int, last: int) -> bool:
        """Publish parts again; return whether there was room for the request."""


class StationCommands:
    """Carries out commands. They come in the publisher's thread; `show` belongs to the camera's.

    Args:
        settings: What is allowed.
        station: This station's part of it.
        box: What the stations share.
        gate: Of the station's camera.
        state: Of the station.
        shadow: Of the station.
    """

    def __init__(
        self,
        settings: CommandSettings,
        station: StationSettings,
        box: Box,
        gate: Gate,
        state: StationState,
        shadow: Shadow,
    ) -> None:
        self._shadow = shadow
        self._settings, self._station, self._box = settings, station, box
        self._gate, self._state = gate, state
        self._desk = CommandDesk(settings.allow, settings.max_age_s, memory=box.command_memory(station.name))
        self._lock = threading.RLock()
        self._early: deque[tuple[bytes, bool, ReturnAddress | None]] = deque(maxlen=_EARLY)
        self._pictures: dict[str, Sender] = {}
        self._answers: Answers | None = None
        self._do: dict[type[AnyCommand], Callable[[Any, Sender], Fields | None]] = {
            Trigger: self._trigger,
            Pause: self._pause,
            Resume: self._resume,
            SetThreshold: self._set_threshold,
            Snapshot: self._snapshot,
            Resend: self._resend,
            ChangeBundle: self._change_bundle,
            GoShadow: self._go_shadow,
        }

    def open(self, inspector: Inspector, answers: Answers) -> None:
        """Carry out what has come and what comes: the engine is there.

        Args:
            inspector: Whose threshold and bundle commands change.
            answers: Where replies go.
        """
        self._inspector = inspector
        with self._lock:
            self._answers = answers
            for early in self._early:
                self.receive(*early)
            self._early.clear()

    def receive(self, payload: bytes, retained: bool, back: ReturnAddress | None = None) -> None:
        """Carry out or refuse what came on the topic `command`, and reply."""
        with self._lock:
            if self._answers is None:
                self._early.append((payload, retained, back))
                return
            sender, command, refused = self._desk.receive(payload, retained=retained)
            sender = sender._replace(back=back)
            fields: Fields | None = {}
            if command is not None:
                try:
                    fields = self._do[type(command)](command, sender)
                except Refused as problem:
                    refused = problem
                except Exception as error:  # a mistake of ours, which must not end the connection's thread
                    log.exception("%s: command %s %s", self._station.name, command.command, command.id)
                    refused = Refused("impossible", f"{error!r}, which is a mistake in edge-inspect; its log has more")
                    fields = {}
            if fields is not None:
                self._reply(sender, refused, fields)

    @property
    def possible(self) -> list[Verb]:
        """The commands that are allowed, without those that mean nothing to this station."""
        triggered = self._station.trigger == "command"
        return [verb for verb in self._settings.allow if verb != "trigger" or triggered]

    def counts(self) -> CommandCounts:
        """Return the counts since the start."""
        return self._desk.counts()

    def show(self, pictures: Iterable[str], frame: Frame | None, problem: str = "") -> None:
        """Publish a frame for the snapshots that wait for it; without one, refuse them."""
        for identity in pictures:
            with self._lock:
                sender = self._pictures.pop(identity, None)
                if sender is None:  # answered before something went wrong
                    continue
                topic = self._publish(identity, frame) if frame is not None else None
                if topic is not None:
                    self._reply(sender, None, {"image": topic})
                else:
                    problem = problem or "the picture is above the broker's limit; raise its max_packet_size"
                    self._reply(sender, Refused("impossible", problem), {})

    def _publish(self, identity: str, frame: Frame) -> str | None:
        _, jpeg = cv2.imencode(".jpg", frame)
        return self._answers.publish_image(identity, jpeg.tobytes()) if self._answers else None

    def _reply(self, sender: Sender, refused: Refused | None, fields: Fields) -> None:
        self._desk.count(refused)
        name = self._station.name
        if refused is None:
            log.info("%s: command %s %s: done", name, sender.command, sender.id)
        else:
            log.warning("%s: command %s %s: %s: %r", name, sender.command, sender.id, refused.refusal, str(refused))
        reply = Reply(
            boot_id=self._box.boot_id,
            sequence=self._box.outbox.sequence(name),
            command_id=sender.id,
            command=sender.command,
            at=utc_now(),
            done=refused is None,
            refusal=refused.refusal if refused else None,
            reason=str(refused) if refused else None,
            **fields,
        )
        if self._answers is not None:
            self._answers.reply(reply, sender.back)

    def _trigger(self, command: Trigger, sender: Sender) -> Fields:
        if self._station.trigger != "command":
            raise Refused("impossible", "every frame is a part here; set the station's trigger to command")
        if self._state.paused:
            raise Refused("impossible", "the station is paused; send resume first")
        if not self._gate.trigger(command.part_id):
            raise Refused("busy", "triggers come faster than parts are inspected, or the camera gives no frames")
        return {}

    def _pause(self, command: Pause, sender: Sender) -> Fields:
        self._gate.set_paused(True)
        self._state.pause(f"by command {command.id}" + (f" of {command.by}" if command.by else ""))
        return {}

    def _resume(self, command: Resume, sender: Sender) -> Fields:
        self._gate.set_paused(False)
        self._state.resume()
        return {}

    def _set_threshold(self, command: SetThreshold, sender: Sender) -> Fields:
        judge = self._inspector.judge
        low, high = judge.bounds(self._settings.threshold_factor)
        before = judge.decider.threshold
        after = judge.own if command.value is None else command.value
        if not low <= after <= high:
            raise Refused(
                "impossible",
                f"{after:g} is not between {low:g} and {high:g}, which commands.threshold_factor allows around the "
                f"bundle's {judge.own:g}",
            )
        entry = ThresholdEntry(
            at=utc_now(),
            station=self._station.name,
            bundle=judge.reference.digest,
            before=before,
            value=command.value,
            by=command.by,
            command_id=command.id,
        )
        try:
            self._box.thresholds.add(entry)
        except OSError as error:
            raise Refused("impossible", f"it cannot be recorded, so it is not set: {error}") from error
        judge.decider.threshold = after
        return {"threshold": ThresholdChange(before=before, after=after, bundle=judge.own)}

    def _change_bundle(self, command: ChangeBundle, sender: Sender) -> None:
        def answer(refused: Refused | None, change: BundleChange | None) -> None:
            with self._lock:
                self._reply(sender, refused, {"bundle": change})

        path = None if command.name is None else self._inspector.find(command.name)
        self._inspector.change(path, Asker(command.by, command.id), answer)

    def _go_shadow(self, command: GoShadow, sender: Sender) -> Fields:
        try:
            if command.parts:
                self._shadow.begin(command.parts)
            else:
                self._shadow.end()
        except OSError as error:
            raise Refused(
                "impossible", f"the file of scores cannot be written, so nothing is changed: {error}"
            ) from error
        return {"shadow": self._shadow.health()}

    def _snapshot(self, command: Snapshot, sender: Sender) -> None:
        if not self._gate.picture(command.id):
            raise Refused("busy", "too many snapshots wait, or the camera gives no more frames")
        self._pictures[command.id] = sender

    def _resend(self, command: Resend, sender: Sender) -> Fields:
        kept = self._box.outbox.history_range(self._station.name)
        if kept is None:
            raise Refused("impossible", "the history is empty; outbox.history_bytes says how much it keeps")
        first, last = max(command.from_sequence, kept[0]), min(command.to_sequence or kept[1], kept[1])
        if first > last:
            beyond = (
                "later ones wait for the broker, or are not made yet" if first > kept[1] else "earlier ones are gone"
            )
            raise Refused("impossible", f"the history holds parts {kept[0]} to {kept[1]}; {beyond}")
        if self._answers is None or not self._answers.resend(first, last):
            raise Refused("busy", "too many requests wait; ask again when they have come")
        return {"resend": SequenceRange(first=first, last=last)}
