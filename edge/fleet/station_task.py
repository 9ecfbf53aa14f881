"""The part of a roll-out at one station: changes its bundle, watches it, and rolls it back."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, Protocol

from edge_inspect.edge.contract.commands import ChangeBundle
from edge_inspect.edge.contract.health import Health
from edge_inspect.edge.contract.ids import uuid7_of_now
from edge_inspect.edge.contract.messages import BundleReference, Status, Verdict
from edge_inspect.edge.contract.received_messages import ReceivedMessage
from edge_inspect.edge.contract.replies import Reply
from edge_inspect.edge.contract.topics import Topics
from edge_inspect.edge.fleet.known_stations import KnownStation
from edge_inspect.edge.fleet.rollout_record import RolloutRecord, StationEntry
from edge_inspect.edge.fleet.row_table import DIGEST, share
from edge_inspect.edge.fleet.station_row import SILENT_AFTER_S, alarms_of
from edge_inspect.edge.fleet.station_watch import ENOUGH, StationWatch, usual_share

RETRY_S = 2.0
"""Pause before a command is sent again to a station that was too busy for it, in seconds."""


class CommandLink(Protocol):
    """The way to the stations, as `FleetConnection` is."""

    connected: bool
    connected_at: float

    def send_command(self, topic: str, payload: bytes) -> None:
        """Send a command, or raise `ConnectionProblem`."""
        ...


class StationTask:
    """One station of a roll-out. Used by one thread; times are in seconds of `time.monotonic`.

    Args:
        key: The station, as site/line/station.
        record: Record of the roll-out.
        link: The connection to the broker.
        say: Called with a line about each thing that happens.

    Attributes:
        key: The station, as site/line/station.
        known: What is known of the station.
        watch: Its watch, once it is changed.
        problem: What is wrong with it since its change; `None` if nothing is.
    """

    def __init__(self, key: str, record: RolloutRecord, link: CommandLink, say: Callable[[str], None]) -> None:
        self.key, self._record, self._link, self._say = key, record, link, say
        self._plan = record.plan
        self._topics = Topics(*key.split("/"))
        self.known = KnownStation()
        self.watch: StationWatch | None = None
        self.problem: str | None = None
        self._reply: Reply | None = None
        self._sent_at, self._retry_at = float("-inf"), float("inf")
        self._goes_back = self._repaired = False
        self._begun_at, self._is_due = time.monotonic(), False
        if self.entry.state == "stuck":  # it is tried once more
            self._set("watched")
        if self.is_changed:
            self._begin_watch()

    @property
    def entry(self) -> StationEntry:
        """The recorded state."""
        return self._record.stations[self.key]

    @property
    def is_changed(self) -> bool:
        """Whether the roll-out has changed it, and has not asked it to roll back."""
        return self.entry.state in ("watched", "good") and self.entry.before is not None

    @property
    def is_open(self) -> bool:
        """Whether it has yet to answer, or to be rolled back if the roll-out is stopped."""
        return self.is_changed or self.entry.state in ("sent", "back_sent")

    @property
    def has_proof(self) -> bool:
        """Whether it has inspected enough parts to be called good, or had the bundle before the roll-out."""
        return self.entry.state == "good" and (self.entry.before is None or self.entry.parts >= ENOUGH)

    def take_reply(self, reply: Reply) -> None:
        """Take a reply of the station."""
        if reply.command_id == self.entry.command_id:
            self._reply = reply

    def take(self, message: ReceivedMessage) -> None:
        """Take a message of the station."""
        if self.watch is not None and isinstance(message, Verdict):
            self.watch.take(message)
        elif self.watch is not None and isinstance(message, Status):
            self.watch.note(message)

    def wait_longer(self, seconds: float) -> None:
        """Put off all time limits, because there was no connection for so long."""
        self._begun_at += seconds

    def change(self) -> None:
        """Ask the station to use the new bundle, if it can be asked now."""
        if not self._is_due:
            self._is_due, self._begun_at = True, time.monotonic()
        status, health = self.known.status, self.known.health
        if status is None or health is None or not self.known.is_up:
            if self._waited > SILENT_AFTER_S:
                self._set("refused", "it is offline")
            return
        if health.bundle.digest == self._plan.digest:
            self._set("good", "it had the bundle already")
            return
        self._send(
            "sent",
            before=health.bundle,
            alarms=tuple(alarms_of(status, health)),
            degraded=status.state == "degraded",
            usual=usual_share(health),
        )

    def advance(self, *, back: bool) -> None:
        """Do what is due after the change was asked for.

        Args:
            back: Whether the roll-out is stopped, so that the station is rolled back.
        """
        if self.entry.state == "sent":
            self._await_change(back=back)
        elif self.entry.state == "back_sent":
            self._await_roll_back()
        elif self.is_changed and back:
            if not self._goes_back:
                self._goes_back, self._begun_at = True, time.monotonic()
            self._roll_back()
        elif self.is_changed:
            self._look()

    def _await_change(self, *, back: bool) -> None:
        reply, self._reply = self._reply, None
        health = self._health_after_command()
        if reply is not None and reply.done:
            # Somebody else may have changed the bundle after the last health.
            before = None if reply.bundle is None else reply.bundle.before
            if before is not None and before.digest != self._plan.digest:
                self._set("sent", before=before)
            self._changed(reply.sequence, reply.at)
        elif health is not None and health.bundle.digest == self._plan.digest:  # its reply was lost
            self._changed(health.sequence, health.at)
        elif reply is not None and (reply.refusal != "busy" or back):
            self._set("refused", f"{reply.refusal}: {reply.reason}")
        elif reply is not None:
            self._retry_at = time.monotonic() + RETRY_S
        elif self._waited > self._plan.reply_seconds:
            self._set("refused", f"it did not answer within {self._plan.reply_seconds:g} s")
        elif self._may_be_lost(health) and not back:
            self._send("sent")

    def _changed(self, sequence: int, at: datetime) -> None:
        self._set("watched", sequence=sequence, changed_at=at)
        self._begin_watch()
        self._say(f"{self.key}: changed from {_name(self.entry.before)} to {self._plan.name}")

    def _begin_watch(self) -> None:
        stations = len(self._plan.stations)
        self.watch = StationWatch(self._plan.digest, self.entry, self._plan.watch_parts, stations)

    def _look(self) -> None:
        """Note what is wrong with the changed station, or that it was watched for long enough."""
        assert self.watch is not None
        self.problem = self.problem or self.watch.problem(self.known.status, self.known.health) or self._gone()
        if self.problem is not None or self.entry.state == "good":
            return
        is_late = self._waited > self._plan.watch_seconds
        if is_late and self.watch.parts >= ENOUGH:
            self.watch.look()
            self.problem = self.watch.problem(self.known.status, self.known.health)
        if self.problem is None and (is_late or self.watch.is_complete and self._has_new_health()):
            self._good(self.watch)

    def _good(self, watch: StationWatch) -> None:
        detail = f"{watch.parts} parts" + (f", {share(watch.share)} rejected" if watch.share is not None else "")
        self._set("good", detail, parts=watch.parts, rejected=watch.rejected)
        self._say(f"{self.key}: {'good after' if watch.parts >= ENOUGH else 'not proven after'} {detail}")

    def _gone(self) -> str | None:
        """Return that the station is offline or silent, if it has been for so long that it does not just reconnect."""
        since = max(self.known.heard_at, self._link.connected_at, self._begun_at)
        if time.monotonic() - since < SILENT_AFTER_S:
            return None
        status = self.known.status
        if status is not None and status.state == "offline":
            return f"it is offline: {status.reason or 'it was stopped'}"
        return f"it has been silent for {SILENT_AFTER_S:g} s"

    def _roll_back(self) -> None:
        assert self.watch is not None
        health = self.known.health
        if not self.watch.is_in_force(health):
            state = "left" if self.watch.is_replaced(health) else "back"
            self._set(state, self.watch.problem(self.known.status, health))
            self._say(f"{self.key}: not rolled back, because {self.entry.detail}")
        elif self._is_certain():
            self._send("back_sent")
        elif self._waited > self._plan.reply_seconds:
            self._stuck("it is silent")

    def _is_certain(self) -> bool:
        """Return whether the new bundle is surely in force: a roll-back of the former one would go too far.

        During the first parts, a station may have gone back by itself, and it says so only by its next health.
        """
        if self.watch is not None and self.watch.parts >= ENOUGH:
            return True
        return self._has_new_health() and self.known.health_at > self._link.connected_at

    def _await_roll_back(self) -> None:
        reply, self._reply = self._reply, None
        health, before = self._health_after_command(), self.entry.before
        after = reply.bundle.after if reply is not None and reply.done and reply.bundle is not None else None
        if after is None and health is not None and health.bundle.digest != self._plan.digest:
            after = health.bundle  # its reply was lost
        if after is not None and before is not None and after.digest == before.digest:
            self._set("back", self.problem)
            self._say(f"{self.key}: rolled back to {_name(after)}")
        elif after is not None and not self._repaired:
            # It had gone back by itself, at the same moment. The former bundle has to be named now.
            self._repaired = True
            self._send("back_sent")
        elif after is not None or (reply is not None and reply.refusal != "busy"):
            why = f"{reply.refusal}: {reply.reason}" if reply is not None and not reply.done else f"not {_name(before)}"
            self._stuck(f"it uses {_name(after)} now, {why}" if after is not None else why)
        elif reply is not None:
            self._retry_at = time.monotonic() + RETRY_S
        elif self._waited > self._plan.reply_seconds:
            self._stuck(f"it did not answer within {self._plan.reply_seconds:g} s")
        elif self._may_be_lost(health):
            self._send("back_sent")

    def _stuck(self, detail: str) -> None:
        self._set("stuck", detail)
        self._say(f"{self.key}: could not be rolled back: {detail}")

    def _send(self, state: Literal["sent", "back_sent"], **changes: Any) -> None:
        """Record that the command for a state is sent, and send it."""
        identity = uuid7_of_now()
        self._set(state, command_id=identity, **changes)
        what: dict[str, Any] = {"name": None}
        if state == "sent":
            what = {"name": self._plan.name, "digest": self._plan.digest, "url": self._plan.url}
        elif self._repaired and self.entry.before is not None:
            what = {"name": self.entry.before.name, "digest": self.entry.before.digest}
        command = ChangeBundle(command="bundle", id=identity, by=self._plan.by, **what)
        self._reply, self._retry_at, self._sent_at = None, float("inf"), time.monotonic()
        # Fields that have no value are left out, so that stations of earlier releases accept the roll-back.
        payload = command.model_dump_json(exclude_unset=True, exclude={"url"} if self._plan.url is None else None)
        self._link.send_command(self._topics.command, payload.encode())

    def _may_be_lost(self, health: Health | None) -> bool:
        """Return whether to send the last command again: the station was busy, or it is unknown whether it was sent."""
        now = time.monotonic()
        if now > self._retry_at:
            return self.known.is_up
        # The connection of that command is lost, and the station says that it still has the other bundle.
        return self._sent_at < self._link.connected_at and health is not None and self._retry_at == float("inf")

    def _health_after_command(self) -> Health | None:
        """Return the last health if the station has sent it after the last command and over this connection."""
        is_new = self.known.health_at > max(self._link.connected_at, self._sent_at)
        return self.known.health if is_new else None

    def _has_new_health(self) -> bool:
        health, since = self.known.health, self.entry.changed_at
        return health is not None and since is not None and health.at > since

    @property
    def _waited(self) -> float:
        """Seconds in the present state, without those in which there was no connection."""
        return time.monotonic() - self._begun_at

    def _set(self, state: str, detail: str | None = None, **changes: Any) -> None:
        if state != self.entry.state:
            self._begun_at = time.monotonic()
        self._record.set_station(self.key, state=state, detail=detail, **changes)


def _name(bundle: BundleReference | None) -> str:
    """Return name and digest of a bundle: several bundles may have one name."""
    return "an unknown bundle" if bundle is None else f"{bundle.name} ({bundle.digest[:DIGEST]})"
