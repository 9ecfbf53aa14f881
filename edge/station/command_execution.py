"""The execution of commands: each is carried out or refused, and answered."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

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
from edge_inspect.edge.sinks.sink import OnCommand, Sink
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.bundles import RequestedBy, StationBundles
from edge_inspect.edge.station.change_records import ThresholdEntry
from edge_inspect.edge.station.command_admission import CommandAdmission
from edge_inspect.edge.station.frame_requests import FrameRequests
from edge_inspect.edge.station.shadow import Shadow
from edge_inspect.edge.station.state import StationState

log = logging.getLogger(__name__)

_EARLY = 64
Fields = dict[str, Any]
"""The fields of a reply that its command adds; a handler returns `None` where the reply comes later."""


class CommandInbox:
    """Keeps the commands that come before a station is ready for them. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._early: deque[tuple[bytes, bool, ReturnAddress | None]] = deque(maxlen=_EARLY)
        self._carry_out: OnCommand | None = None

    def receive(self, payload: bytes, retained: bool, back: ReturnAddress | None = None) -> None:
        """Hand a command on to the station, now or when it is ready; of those that wait, the newest 64 are kept."""
        with self._lock:
            if self._carry_out is None:
                self._early.append((payload, retained, back))
            else:
                self._carry_out(payload, retained, back)

    def open(self, carry_out: OnCommand) -> None:
        """Hand on what has come and what comes: the station is ready."""
        with self._lock:
            for early in self._early:
                carry_out(*early)
            self._early.clear()
            self._carry_out = carry_out


def possible_commands(settings: CommandSettings, station: StationSettings) -> list[Verb]:
    """Return the commands that are allowed, without those that mean nothing to this station."""
    triggered = station.trigger == "command"
    return [verb for verb in settings.allow if verb != "trigger" or triggered]


class CommandExecutor:
    """Carries out commands. They come in the sink's thread; `show` belongs to the camera's.

    Args:
        settings: What is allowed.
        admission: Decides whether a command may be carried out. It is made before the sink is opened: what was sent
            before that is too old.
        station: This station's part of the configuration.
        box: What the stations share.
        requests: Which frames are asked for.
        state: The station's state, which commands pause.
        shadow: The station's shadow, which commands begin and end.
        bundles: The station's bundles, which commands change with their threshold.
        sink: Where replies go.
    """

    def __init__(
        self,
        settings: CommandSettings,
        admission: CommandAdmission,
        station: StationSettings,
        box: BoxResources,
        requests: FrameRequests,
        state: StationState,
        shadow: Shadow,
        bundles: StationBundles,
        sink: Sink,
    ) -> None:
        self._settings, self._admission, self._station, self._box = settings, admission, station, box
        self._requests, self._state, self._shadow, self._bundles, self._sink = requests, state, shadow, bundles, sink
        self._lock = threading.RLock()
        self._snapshots: dict[str, Sender] = {}
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

    def receive(self, payload: bytes, retained: bool, back: ReturnAddress | None = None) -> None:
        """Carry out or refuse what came on the topic `command`, and reply."""
        with self._lock:
            sender, command, refused = self._admission.receive(payload, retained=retained)
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

    def counts(self) -> CommandCounts:
        """Return the counts since the start."""
        return self._admission.counts()

    def show(self, snapshots: Iterable[str], frame: Frame | None, problem: str = "") -> None:
        """Publish a frame for the snapshots that wait for it; without one, refuse them."""
        for identity in snapshots:
            with self._lock:
                sender = self._snapshots.pop(identity, None)
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
        return self._sink.publish_image(identity, jpeg.tobytes())

    def _reply(self, sender: Sender, refused: Refused | None, fields: Fields) -> None:
        self._admission.count(refused)
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
        self._sink.reply(reply, sender.back)

    def _trigger(self, command: Trigger, sender: Sender) -> Fields:
        if self._station.trigger != "command":
            raise Refused("impossible", "every frame is a part here; set the station's trigger to command")
        if self._state.paused:
            raise Refused("impossible", "the station is paused; send resume first")
        if not self._requests.request_part(command.part_id):
            raise Refused("busy", "triggers come faster than parts are inspected, or the camera gives no frames")
        return {}

    def _pause(self, command: Pause, sender: Sender) -> Fields:
        self._requests.set_paused(True)
        self._state.pause(f"by command {command.id}" + (f" of {command.by}" if command.by else ""))
        return {}

    def _resume(self, command: Resume, sender: Sender) -> Fields:
        self._requests.set_paused(False)
        self._state.resume()
        return {}

    def _set_threshold(self, command: SetThreshold, sender: Sender) -> Fields:
        loaded = self._bundles.current
        low, high = loaded.threshold_bounds(self._settings.threshold_factor)
        before = loaded.decider.threshold
        after = loaded.own_threshold if command.value is None else command.value
        if not low <= after <= high:
            raise Refused(
                "impossible",
                f"{after:g} is not between {low:g} and {high:g}, which commands.threshold_factor allows around the "
                f"bundle's {loaded.own_threshold:g}",
            )
        entry = ThresholdEntry(
            at=utc_now(),
            station=self._station.name,
            bundle=loaded.reference.digest,
            before=before,
            value=command.value,
            by=command.by,
            command_id=command.id,
        )
        try:
            self._box.thresholds.add(entry)
        except OSError as error:
            raise Refused("impossible", f"it cannot be recorded, so it is not set: {error}") from error
        loaded.decider.threshold = after
        return {"threshold": ThresholdChange(before=before, after=after, bundle=loaded.own_threshold)}

    def _change_bundle(self, command: ChangeBundle, sender: Sender) -> None:
        def answer(refused: Refused | None, change: BundleChange | None) -> None:
            with self._lock:
                self._reply(sender, refused, {"bundle": change})

        path = None if command.name is None else self._bundles.find(command.name)
        self._bundles.change(path, RequestedBy(command.by, command.id), answer)

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
        if not self._requests.request_snapshot(command.id):
            raise Refused("busy", "too many snapshots wait, or the camera gives no more frames")
        self._snapshots[command.id] = sender

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
        if not self._sink.resend(first, last):
            raise Refused("busy", "too many requests wait; ask again when they have come")
        return {"resend": SequenceRange(first=first, last=last)}
