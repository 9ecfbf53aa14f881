"""One station as the bridge follows it: its parts, its requests for missing parts, and its registers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from pydantic import BaseModel

from edge_inspect.edge.bridge.plc_parts import PlcParts, Tally
from edge_inspect.edge.bridge.received_messages import ReceivedPart, ReceivedReply, StatusOrHealth
from edge_inspect.edge.bridge.recipe_handshake import RecipeHandshake
from edge_inspect.edge.bridge.registers import (
    BLOCK,
    CAUSES,
    FLAGS,
    MAP_VERSION,
    NEWEST,
    PART_FIELDS,
    RING,
    SLOT,
    SLOTS,
    STATES,
    STATION_FIELDS,
    WARNINGS,
    Values,
    bits,
    encode,
)
from edge_inspect.edge.bridge.reorder_buffer import OrderedPart, ReorderBuffer, SequencePosition
from edge_inspect.edge.bridge.resend_requests import ResendRequests
from edge_inspect.edge.bridge.settings import BridgeSettings
from edge_inspect.edge.contract.topics import Topics

log = logging.getLogger(__name__)

_LONGEST_SILENCE = 0xFFFF
_MODELS: dict[str, type[ReceivedPart | StatusOrHealth | ReceivedReply]] = {
    "verdict": ReceivedPart,
    "defect": ReceivedPart,
    "status": StatusOrHealth,
    "health": StatusOrHealth,
    "reply": ReceivedReply,
}


class SavedStation(BaseModel):
    """State of a station that survives a restart of the bridge."""

    position: SequencePosition = SequencePosition()
    tally: Tally = Tally()


class BridgedStation:
    """Follows one station. Every method may be called from any thread.

    Args:
        topics: Topics of the station.
        settings: The whole configuration of the bridge.
        saved: State of the station when the bridge ended.
        starts: Number of times that the bridge has started.
        recipes: Names of the station's recipes; the first one has the number 1.

    Attributes:
        wake: Called when there is something to send; the connection to the broker sets it.
    """

    def __init__(
        self, topics: Topics, settings: BridgeSettings, saved: SavedStation, starts: int, recipes: Sequence[str] = ()
    ) -> None:
        self.topics = topics
        self._name = f"{topics.site}/{topics.line}/{topics.station}"
        self._low_first = settings.modbus.word_order == "low_first"
        self._acknowledges = settings.modbus.acknowledge
        self._stale_after_s = settings.stale_after_s
        self._starts = starts
        self._buffer = ReorderBuffer(saved.position, settings.hold_s)
        self._resend_requests = ResendRequests(self._name, self._buffer)
        self._plc_parts = PlcParts(
            saved.tally, settings.defect_classes, acknowledge=self._acknowledges, recipes=recipes
        )
        self._recipe = RecipeHandshake(self._name, recipes)
        self.wake: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._connected = False
        self._state = "unknown"
        self._health: StatusOrHealth | None = None
        self._heard = 0
        self._heard_at = float("-inf")
        self._beats = 0
        self._slots, self._encoded = [0] * (RING * SLOT), 0

    @property
    def subscriptions(self) -> list[str]:
        """Topics to subscribe to."""
        return self.topics.followed

    def connect(self, connected: bool) -> None:
        """Note that the broker has confirmed the `subscriptions`, or that the connection was lost."""
        with self._lock:
            self._connected = connected
            if not connected:
                # The station's last status may be out of date. The broker sends the retained status with the next
                # subscription, and only a new message after that shows that the station is alive.
                self._state, self._health, self._heard_at = "unknown", None, float("-inf")
                self._resend_requests.forget()

    def receive(self, topic: str, payload: bytes, now: float, *, retained: bool) -> None:
        """Take a message of one of the `subscriptions`.

        A message that cannot be read is logged and dropped; a part that is dropped becomes a gap.

        Args:
            topic: Topic of the message.
            payload: The message.
            now: Seconds of the monotonic clock.
            retained: Whether the broker had retained the message.
        """
        level = topic.rsplit("/", 1)[-1]
        try:
            message = _MODELS[level].model_validate_json(payload)
        except ValueError as error:
            log.error("%s: a %s cannot be read and is dropped: %s", self._name, level, str(error).splitlines()[0])
            return
        with self._lock:
            if isinstance(message, ReceivedPart):
                self._show(self._buffer.take(message, now))
            elif isinstance(message, ReceivedReply):
                self._resend_requests.answer(message, now)
                self._recipe.answer(message, now)
            else:
                self._take_status_or_health(message, retained=retained)
                self._recipe.take(message, now)
            # Neither shows that the station is alive: the broker publishes the last will, and a retained message may be
            # old.
            if not retained and self._state != "offline":
                self._heard += 1
                self._heard_at = now

    def release(self, now: float) -> None:
        """Show the parts that have waited long enough to the PLC; call this every few milliseconds."""
        with self._lock:
            self._show(self._buffer.release(now))
            self._recipe.watch(now, reachable=self._reachable)

    def ask(self, now: float) -> bytes | None:
        """Return the next command `recipe` or `resend` for the station; `None` if there is nothing to send."""
        with self._lock:
            return (self._recipe.ask(now) or self._resend_requests.ask(now)) if self._reachable else None

    def beat(self) -> None:
        """Increase the heartbeat by one."""
        with self._lock:
            self._beats += 1

    def saved(self) -> SavedStation:
        """Return the state to save for the next start of the bridge."""
        with self._lock:
            return SavedStation(position=self._buffer.position, tally=self._plc_parts.saved())

    def acknowledge(self, low_half: int) -> bool:
        """Take the number that the PLC has written to `acknowledged`.

        Returns:
            False: acknowledgements are not configured, or the number is impossible.
        """
        with self._lock:
            return self._acknowledges and self._plc_parts.acknowledge(low_half)

    def request_recipe(self, number: int) -> bool:
        """Take the number that the PLC has written to `recipe_requested`.

        Returns:
            False: there is no recipe of this number.
        """
        with self._lock:
            taken = self._recipe.request(number)
        self.wake()
        return taken

    def registers(self, now: float) -> list[int]:
        """Return the registers of the station's block as they are at `now`, in seconds of the monotonic clock."""
        with self._lock:
            for shown in self._plc_parts.tally.ring:
                if shown.number > self._encoded:
                    at = shown.number % RING * SLOT
                    self._slots[at : at + SLOT] = encode(PART_FIELDS, shown.values(), SLOT, low_first=self._low_first)
                    self._encoded = shown.number
            block = encode(STATION_FIELDS, self._values(now), BLOCK, low_first=self._low_first)
            newest = self._encoded % RING * SLOT
            block[NEWEST : NEWEST + SLOT] = self._slots[newest : newest + SLOT]
            block[SLOTS : SLOTS + RING * SLOT] = self._slots
            return block

    @property
    def _reachable(self) -> bool:
        return self._connected and self._state != "offline"

    def _values(self, now: float) -> Values:
        buffer, tally = self._buffer, self._plc_parts.tally
        silence = now - self._heard_at
        missing = buffer.absent + self._resend_requests.overdue
        why = {
            "broker_lost": not self._connected,
            "offline": self._state == "offline",
            "silent": silence >= self._stale_after_s,
        }
        flags = bits(
            FLAGS,
            **why,
            stale=any(why.values()),
            gap=missing > 0,
            lost=buffer.lost > 0,
            overrun=tally.overruns > 0,
            waiting=self._plc_parts.waiting > 0,
        )
        return {
            "map_version": MAP_VERSION,
            "flags": flags,
            "state": STATES.index(self._state),
            "heartbeat": self._beats,
            "heard": self._heard,
            "silence": int(min(_LONGEST_SILENCE, silence)),
            "starts": self._starts,
            "resets": buffer.resets,
            "parts": tally.parts,
            "accepted": tally.accepted,
            "rejected": tally.rejected,
            "missing": missing,
            "lost": buffer.lost,
            "repeats": buffer.repeats,
            "overruns": tally.overruns,
            "acknowledged": tally.acknowledged,
            **self._health_values(),
            **self._recipe.values(),
            **{f"class_{number}": count for number, count in enumerate(tally.classes)},
        }

    def _health_values(self) -> Values:
        """Return the values that come from the last health message.

        Warnings and causes that are unknown here, because a later release has added them, are ignored.
        """
        health = self._health
        warnings = (health.warnings or ()) if health else ()
        cause = health.cause if health and health.cause in CAUSES else CAUSES[0]
        return {
            "warnings": bits(WARNINGS, **{name: name in warnings for name in WARNINGS}),
            "cause": CAUSES.index(cause),
            "rejecting": round(1000 * health.rejects.share) if health and health.rejects else 0,
        }

    def _take_status_or_health(self, message: StatusOrHealth, *, retained: bool) -> None:
        if message.state is not None:
            if message.state == "offline":
                self._resend_requests.forget()
            # A later release may have added states.
            self._state = message.state if message.state in STATES else "unknown"
        if message.warnings is not None:
            self._health = message
        self._show(self._buffer.announce(message, retained=retained))

    def _show(self, ready: list[OrderedPart]) -> None:
        for ordered in ready:
            self._plc_parts.add(ordered)
