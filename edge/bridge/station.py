"""One station: what came of it, what is asked of it, what the PLC reads, and whether it is to be believed."""

from __future__ import annotations

import logging
import threading

from pydantic import BaseModel

from edge_inspect.edge.bridge.plc_parts import PlcParts, Tally
from edge_inspect.edge.bridge.received_messages import ReceivedPart, ReceivedReply, StatusOrHealth
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
    """What must survive the bridge's restart."""

    position: SequencePosition = SequencePosition()
    tally: Tally = Tally()


class BridgedStation:
    """Follows one station. Every method may be called from any thread.

    Args:
        topics: The station's.
        settings: The whole configuration.
        saved: Where to go on.
        starts: How often the bridge has started.
    """

    def __init__(self, topics: Topics, settings: BridgeSettings, saved: SavedStation, starts: int) -> None:
        self.topics = topics
        self._name = f"{topics.site}/{topics.line}/{topics.station}"
        self._low_first = settings.modbus.word_order == "low_first"
        self._acknowledges = settings.modbus.acknowledge
        self._stale_after_s = settings.stale_after_s
        self._starts = starts
        self._buffer = ReorderBuffer(saved.position, settings.hold_s)
        self._resend_requests = ResendRequests(self._name, self._buffer)
        self._plc_parts = PlcParts(saved.tally, settings.defect_classes, acknowledge=self._acknowledges)
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
        """The topics to hear."""
        return [self.topics.verdict, self.topics.defect, self.topics.status, self.topics.health, self.topics.reply]

    def connect(self, connected: bool) -> None:
        """Note that the broker has taken the `subscriptions`, or that the connection was lost."""
        with self._lock:
            self._connected = connected
            if not connected:
                # What was known may not hold any more: the retained status comes with the next subscription, and only
                # what is new after that shows that the station lives.
                self._state, self._health, self._heard_at = "unknown", None, float("-inf")
                self._resend_requests.forget()

    def receive(self, topic: str, payload: bytes, now: float, *, retained: bool) -> None:
        """Take a message of one of the `subscriptions`; what cannot be read is left out, and is then a gap."""
        level = topic.rsplit("/", 1)[-1]
        try:
            message = _MODELS[level].model_validate_json(payload)
        except ValueError as error:
            log.error("%s: a %s cannot be read and is left out: %s", self._name, level, str(error).splitlines()[0])
            return
        with self._lock:
            if isinstance(message, ReceivedPart):
                self._give(self._buffer.take(message, now))
            elif isinstance(message, ReceivedReply):
                self._resend_requests.answer(message, now)
            else:
                self._take_status_or_health(message, retained=retained)
            # The last will is the broker's word, and a retained message may be of any age.
            if not retained and self._state != "offline":
                self._heard += 1
                self._heard_at = now

    def release(self, now: float) -> None:
        """Hand on what has waited long enough; call this every few milliseconds."""
        with self._lock:
            self._give(self._buffer.release(now))

    def ask(self, now: float) -> bytes | None:
        """Return a command for the station, if there is one to send."""
        with self._lock:
            return self._resend_requests.ask(now) if self._connected and self._state != "offline" else None

    def beat(self) -> None:
        """Count the heartbeat up."""
        with self._lock:
            self._beats += 1

    def saved(self) -> SavedStation:
        """Return what must be saved."""
        with self._lock:
            return SavedStation(position=self._buffer.position, tally=self._plc_parts.saved())

    def acknowledge(self, low_half: int) -> bool:
        """Take what the PLC has written to `acknowledged`; return whether it may, and that number can be."""
        with self._lock:
            return self._acknowledges and self._plc_parts.acknowledge(low_half)

    def registers(self, now: float) -> list[int]:
        """Return the station's block, as it is now."""
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
            **{f"class_{number}": count for number, count in enumerate(tally.classes)},
        }

    def _health_values(self) -> Values:
        """Return what the registers of the last health hold; a later release may know more warnings and causes."""
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
            # A later release may know more states.
            self._state = message.state if message.state in STATES else "unknown"
        if message.warnings is not None:
            self._health = message
        self._give(self._buffer.announce(message, retained=retained))

    def _give(self, ready: list[OrderedPart]) -> None:
        for ordered in ready:
            self._plc_parts.give(ordered)
