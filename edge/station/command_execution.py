"""The execution of commands: carries out or refuses each command, and sends a reply."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2

from edge_inspect.edge.bundle.store import WantedBundle
from edge_inspect.edge.configuration.settings import CommandSettings
from edge_inspect.edge.configuration.station_settings import StationSettings
from edge_inspect.edge.contract.commands import (
    AnyCommand,
    ChangeBundle,
    ChangeRecipe,
    GoShadow,
    Pause,
    Refused,
    Report,
    Resend,
    Resume,
    ReturnAddress,
    Sender,
    SetThreshold,
    Snapshot,
    Trigger,
    Verb,
)
from edge_inspect.edge.contract.fields import utc_now
from edge_inspect.edge.contract.health import CommandCounts
from edge_inspect.edge.contract.replies import BundleChange, RecipeChange, Reply, ThresholdChange
from edge_inspect.edge.errors import BundleError
from edge_inspect.edge.evidence.index import list_parts
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.log_ring import RING
from edge_inspect.edge.sinks.sink import OnCommand, Sink
from edge_inspect.edge.station.box_resources import BoxResources
from edge_inspect.edge.station.change_records import RequestedBy, ThresholdEntry
from edge_inspect.edge.station.command_admission import CommandAdmission
from edge_inspect.edge.station.frame_requests import FrameRequests
from edge_inspect.edge.station.recipes import StationRecipes
from edge_inspect.edge.station.resend import resend
from edge_inspect.edge.station.shadows import StationShadows
from edge_inspect.edge.station.state import StationState

log = logging.getLogger(__name__)

_EARLY = 64
Fields = dict[str, Any]
"""The fields that a command adds to its reply; a handler returns `None` if the reply is sent later."""


class CommandInbox:
    """Keeps the commands that arrive before a station is ready. Any thread may call its methods."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._early: deque[tuple[bytes, bool, ReturnAddress | None]] = deque(maxlen=_EARLY)
        self._carry_out: OnCommand | None = None

    def receive(self, payload: bytes, retained: bool, back: ReturnAddress | None = None) -> None:
        """Pass a command to the station, now or when it is ready; at most the newest 64 commands wait."""
        with self._lock:
            if self._carry_out is None:
                self._early.append((payload, retained, back))
            else:
                self._carry_out(payload, retained, back)

    def open(self, carry_out: OnCommand) -> None:
        """Pass on the commands that wait, and from now on every command at once."""
        with self._lock:
            for early in self._early:
                carry_out(*early)
            self._early.clear()
            self._carry_out = carry_out


def possible_commands(settings: CommandSettings, station: StationSettings) -> list[Verb]:
    """Return the allowed commands that this station can carry out.

    It can carry out `trigger` only if its trigger is `command`, and `recipe` only if it has recipes.
    """
    possible = {"trigger": station.trigger == "command", "recipe": bool(station.recipes)}
    return [verb for verb in settings.allow if possible.get(verb, True)]


class CommandExecutor:
    """Carries out commands. The sink's thread calls `receive`, and the camera thread calls `show`.

    Args:
        settings: Settings of the commands.
        admission: Decides whether a command is carried out. It must be created before the sink is opened, because it
            refuses commands from before its creation.
        station: Settings of this station.
        box: The objects that all stations share.
        requests: Requests for frames, which triggers, snapshots and pauses change.
        state: State of the station, which a pause changes.
        shadows: Shadows of the station; commands begin and end that of the recipe in force.
        recipes: Recipes of the station; commands change the recipe in force, its bundle and its threshold.
        sink: Sink that sends replies.
    """

    def __init__(
        self,
        settings: CommandSettings,
        admission: CommandAdmission,
        station: StationSettings,
        box: BoxResources,
        requests: FrameRequests,
        state: StationState,
        shadows: StationShadows,
        recipes: StationRecipes,
        sink: Sink,
    ) -> None:
        self._settings, self._admission, self._station, self._box = settings, admission, station, box
        self._requests, self._state, self._shadows, self._recipes, self._sink = requests, state, shadows, recipes, sink
        self._lock = threading.RLock()
        self._snapshots: dict[str, Sender] = {}
        self._lists_evidence = False
        self._do: dict[type[AnyCommand], Callable[[Any, Sender], Fields | None]] = {
            Trigger: self._trigger,
            Pause: self._pause,
            Resume: self._resume,
            SetThreshold: self._set_threshold,
            Snapshot: self._snapshot,
            Resend: self._resend,
            ChangeBundle: self._change_bundle,
            ChangeRecipe: self._change_recipe,
            GoShadow: self._go_shadow,
            Report: self._report,
        }

    def receive(self, payload: bytes, retained: bool, back: ReturnAddress | None = None) -> None:
        """Carry out or refuse a command, and reply."""
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
                    refused, fields = self._bug(sender, error), {}
            if fields is not None:
                self._reply(sender, refused, fields)

    def counts(self) -> CommandCounts:
        """Return the counts since the start."""
        return self._admission.counts()

    def show(self, snapshots: Iterable[str], frame: Frame | None, problem: str = "") -> None:
        """Answer snapshots with a frame, or refuse them with the problem if there is no frame."""
        for identity in snapshots:
            with self._lock:
                sender = self._snapshots.pop(identity, None)
                if sender is None:  # it has been answered already
                    continue
                topic = self._publish(identity, frame) if frame is not None else None
                if topic is not None:
                    self._reply(sender, None, {"image": topic})
                else:
                    problem = problem or "the picture is larger than the broker accepts; raise its max_packet_size"
                    self._reply(sender, Refused("impossible", problem), {})

    def _publish(self, identity: str, frame: Frame) -> str | None:
        _, jpeg = cv2.imencode(".jpg", frame)
        return self._sink.publish_image(identity, jpeg.tobytes())

    def _reply(self, sender: Sender, refused: Refused | None, fields: Fields) -> None:
        self._admission.count(refused)
        name = self._station.name
        if refused is None:
            # A fetch of many pages must not push other lines out of the log.
            level = logging.DEBUG if sender.command == "report" else logging.INFO
            log.log(level, "%s: command %s %s: done", name, sender.command, sender.id)
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
            raise Refused("impossible", "this station has another trigger; set the station's trigger to command")
        if self._state.paused:
            raise Refused("impossible", "the station is paused; send resume first")
        recipe = self._recipes.choose(command.part_id, self._recipes.active)
        if (problem := self._recipes.problem(recipe)) is not None:
            raise Refused("impossible", f"no bundle can inspect this part: {problem}")
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
        recipe, bundles = self._recipes.in_force
        loaded = bundles.current
        low, high = loaded.threshold_bounds(self._settings.threshold_factor)
        before = loaded.decider.threshold
        after = loaded.own_threshold if command.value is None else command.value
        if not low <= after <= high:
            raise Refused(
                "impossible",
                f"{after:g} is not between {low:g} and {high:g}, as far as commands.threshold_factor allows around "
                f"the bundle's threshold {loaded.own_threshold:g}",
            )
        entry = ThresholdEntry(
            at=utc_now(),
            station=self._station.name,
            recipe=recipe,
            bundle=loaded.reference.digest,
            before=before,
            value=command.value,
            by=command.by,
            command_id=command.id,
        )
        try:
            self._box.thresholds.add(entry)
        except OSError as error:
            raise Refused(
                "impossible", f"the threshold stays as it was, because it cannot be recorded: {error}"
            ) from error
        loaded.decider.threshold = after
        return {"threshold": ThresholdChange(before=before, after=after, bundle=loaded.own_threshold)}

    def _change_bundle(self, command: ChangeBundle, sender: Sender) -> None:
        def answer(refused: Refused | None, change: BundleChange | None) -> None:
            with self._lock:
                self._reply(sender, refused, {"bundle": change})

        wanted: Path | WantedBundle | None = None
        if command.name is not None and command.digest is not None:
            wanted = WantedBundle(command.name, command.digest, command.url)
        elif command.name is not None:
            try:
                wanted = self._box.store.find(command.name)
            except BundleError as error:
                raise Refused("impossible", str(error)) from error
        self._recipes.change_bundle(wanted, RequestedBy(command.by, command.id), answer)

    def _change_recipe(self, command: ChangeRecipe, sender: Sender) -> Fields | None:
        def answer(refused: Refused | None, change: RecipeChange | None) -> None:
            with self._lock:
                self._reply(sender, refused, {"recipe": change})

        change = self._recipes.change(command.name, RequestedBy(command.by, command.id), answer)
        return None if change is None else {"recipe": change}

    def _go_shadow(self, command: GoShadow, sender: Sender) -> Fields:
        shadow = self._shadows.of(self._recipes.active)
        try:
            if command.parts:
                shadow.begin(command.parts)
            else:
                shadow.end()
        except OSError as error:
            raise Refused(
                "impossible", f"the shadow is unchanged, because its file of scores cannot be written: {error}"
            ) from error
        return {"shadow": shadow.health()}

    def _snapshot(self, command: Snapshot, sender: Sender) -> None:
        if not self._requests.request_snapshot(command.id):
            raise Refused("busy", "too many snapshots wait, or the camera gives no more frames; try again later")
        self._snapshots[command.id] = sender

    def _resend(self, command: Resend, sender: Sender) -> Fields:
        return {"resend": resend(command, self._box.outbox, self._station.name, self._sink)}

    def _report(self, command: Report, sender: Sender) -> Fields | None:
        if command.what == "log":
            return {"log": RING.page(command.after)}
        if self._box.evidence is None:
            raise Refused("impossible", "this station stores no evidence; set evidence.folder in its configuration")
        if self._lists_evidence:
            raise Refused("busy", "another page of the evidence is being read; try again when that command is answered")
        self._lists_evidence = True
        # A disk may be slow, or hang, and messages must be delivered meanwhile.
        arguments = (self._box.evidence.path, command.after, sender)
        name = f"report-{self._station.name}"
        threading.Thread(target=self._list_evidence, args=arguments, name=name, daemon=True).start()
        return None

    def _list_evidence(self, folder: Path, after: str | None, sender: Sender) -> None:
        refused: Refused | None = None
        fields: Fields = {}
        try:
            fields = {"evidence": list_parts(folder, self._station.name, after)}
        except Refused as problem:
            refused = problem
        except Exception as error:  # a mistake of ours; the sender gets a reply all the same
            refused = self._bug(sender, error)
        with self._lock:
            self._lists_evidence = False
            self._reply(sender, refused, fields)

    def _bug(self, sender: Sender, error: Exception) -> Refused:
        log.exception("%s: command %s %s", self._station.name, sender.command, sender.id)
        return Refused("impossible", f"bug in edge-inspect: {error!r}; its log has the traceback")
