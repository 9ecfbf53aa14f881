"""The register map: which values of a station a PLC can read, and in which registers.

Station 0's block begins at register 0, station 1's at register 1000, and so on. `modbus.word_order` says whether a
value of two registers begins with its high or its low register. The bytes of a register are big-endian, as Modbus
requires.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple

MAP_VERSION = 1
BLOCK = 1000
"""Number of registers in a station's block."""
NEWEST = 40
SLOTS = 100
"""First register of the newest part, and first register of the first slot, counted from the block's beginning."""
SLOT = 32
"""Number of registers of a part."""
RING = 16
"""Number of slots, and so of the last parts that can be read."""
CLASSES = 8
ACKNOWLEDGED, RECIPE_REQUESTED = 22, 74
"""The registers that a PLC can write."""

Kind = Literal["u16", "u32", "f32", "text"]
_FORMATS = {"u16": ">H", "u32": ">I", "f32": ">f"}
_TEXT_BYTES = 32
_REGISTERS = {"u16": 1, "u32": 2, "f32": 2, "text": _TEXT_BYTES // 2}


class RegisterField(NamedTuple):
    """One value of the map: its name, its first register in the block or slot, its type and its meaning."""

    name: str
    offset: int
    kind: Kind
    meaning: str

    @property
    def registers(self) -> int:
        """Number of registers that the value takes."""
        return _REGISTERS[self.kind]


FLAGS = {
    "stale": "the values must not be trusted: one of the next three bits is set, or the station was not heard yet",
    "broker_lost": "the bridge is not connected to the broker, or the broker has not confirmed its subscriptions",
    "offline": "the station's status or its last will says `offline`",
    "silent": "no message came from the station for `stale_after_s`",
    "gap": "parts are missing; the bridge has asked the station to send them again",
    "lost": "parts were lost and cannot be recovered",
    "overrun": "parts were dropped because the PLC did not acknowledge in time",
    "waiting": "parts wait in the bridge until the PLC acknowledges earlier ones",
}
STATES = ("unknown", "starting", "online", "degraded", "paused", "stopping", "offline")
WARNINGS = {
    "frozen": "the camera delivers the same picture again and again",
    "dark": "the picture is too dark",
    "overexposed": "the picture is overexposed",
    "out_of_focus": "the picture is out of focus",
    "light_changed": "the light has changed",
    "focus_changed": "the sharpness has changed",
    "position_changed": "the part lies elsewhere in the picture",
    "many_rejects": "more parts are rejected than usual",
    "score_drift": "the scores have moved away from those of the calibration",
    "disk": "the disk has too little free space",
    "throttled": "the box runs slower because of heat or overcurrent",
}
CAUSES = ("none", "light", "focus", "position", "parts")
RECIPE_STATES = ("none", "active", "changing", "failed")
RECIPE_ERRORS = {
    "none": "the last request was carried out, or none was made",
    "impossible": "the station has no such recipe, or its bundle cannot be used; the station's log says why",
    "not_allowed": "the station's `commands.allow` does not name `recipe`",
    "busy": "the station was changing to another recipe all the time",
    "no_answer": "the station or the broker cannot be reached, or no answer came for 30 s",
    "other": "the station refused for another reason, which the bridge's log says; its clock may be wrong",
}
RESULTS = {"accept": 1, "reject": 2}
PART_FLAGS = {
    "late": "a part with a higher `sequence` was shown earlier: count this part, but it is too late for an ejector",
    "cut": "`part_id` is longer than 32 bytes and was cut",
    "shadow": "the station is in shadow: the part is accepted even if its score is above the threshold",
}

STATION_FIELDS = (
    RegisterField(
        "map_version", 0, "u16", f"version of this map: {MAP_VERSION}; with another number this page does not apply"
    ),
    RegisterField("flags", 1, "u16", "bits, see `flags` below; bit 0 is `stale`"),
    RegisterField("state", 2, "u16", "state of the station, see `state` below"),
    RegisterField("heartbeat", 3, "u16", "rises by 1 every second while the bridge works; 0 follows 65535"),
    RegisterField("heard", 4, "u16", "number of messages from the station; 0 follows 65535"),
    RegisterField(
        "silence", 5, "u16", "seconds since the station's last message; 65535: at least that, or no message yet"
    ),
    RegisterField("starts", 6, "u16", "number of times that the bridge has started"),
    RegisterField(
        "resets",
        7,
        "u16",
        "number of times that the station's `sequence` restarted at 1, because its outbox was replaced",
    ),
    RegisterField("parts", 8, "u32", "number of parts shown; it rises after all other values of a part are written"),
    RegisterField("accepted", 10, "u32", "number of accepted parts among these"),
    RegisterField("rejected", 12, "u32", "number of rejected parts among these"),
    RegisterField("missing", 14, "u32", "number of parts that are missing now; the bridge asks the station for them"),
    RegisterField("lost", 16, "u32", "number of parts that were lost and cannot be recovered"),
    RegisterField("repeats", 18, "u32", "number of repeated messages that were dropped"),
    RegisterField("overruns", 20, "u32", "number of parts dropped because the PLC did not acknowledge in time"),
    RegisterField(
        "acknowledged",
        ACKNOWLEDGED,
        "u16",
        "written by the PLC: low 16 bits of the `number` of the last part that it has handled",
    ),
    RegisterField("warnings", 23, "u16", "bits, see `warnings` below; from the station's last health message"),
    *(
        RegisterField(f"class_{number}", 24 + 2 * number, "u32", text)
        for number, text in enumerate(
            ["rejected parts without a class", *(f"rejected parts of class {n}" for n in range(1, CLASSES))]
        )
    ),
    RegisterField(
        "cause", 72, "u16", "likely cause of a warning about rejects, scores or changed pictures, see `cause` below"
    ),
    RegisterField("rejecting", 73, "u16", "share of rejected parts among about the last 200, in thousandths"),
    RegisterField(
        "recipe_requested",
        RECIPE_REQUESTED,
        "u16",
        "written by the PLC: number of the recipe that it wants; every write is a request; 0: none was made",
    ),
    RegisterField(
        "recipe_active",
        75,
        "u16",
        "number of the recipe in force; 0: unknown, or not one of the bridge's `recipes`",
    ),
    RegisterField("recipe_state", 76, "u16", "state of the change-over, see `recipe_state` below"),
    RegisterField("recipe_error", 77, "u16", "why the last request failed, see `recipe_error` below"),
)
PART_FIELDS = (
    RegisterField(
        "number", 0, "u32", "number of the part: the value of `parts` when it was shown; 0: the slot is empty"
    ),
    RegisterField("result", 2, "u16", "1: accept, 2: reject"),
    RegisterField("part_flags", 3, "u16", "bits, see `part_flags` below; bit 0 is `late`"),
    RegisterField("class", 4, "u16", "class of a rejected part, 1 to 7; 0: no class"),
    RegisterField("regions", 5, "u16", "number of defective regions"),
    RegisterField("sequence", 6, "u32", "the station's own number of the part, low 32 of 64 bits"),
    RegisterField("score", 8, "f32", "score of the part: how unusual it is"),
    RegisterField("threshold", 10, "f32", "the part is rejected if its score is above this"),
    RegisterField("decided", 12, "u32", "time of the decision: whole seconds since 1970, UTC"),
    RegisterField("decided_ms", 14, "u16", "time of the decision: milliseconds within the second"),
    RegisterField("recipe", 15, "u16", "number of the recipe that judged the part; 0: none, or not one of `recipes`"),
    RegisterField(
        "part_id", 16, "text", "UTF-8, two bytes per register, the first one in the high byte, filled with zeros"
    ),
)

Values = Mapping[str, int | float | str]


def encode(fields: tuple[RegisterField, ...], values: Values, size: int, *, low_first: bool) -> list[int]:
    """Return `size` registers with the values in their places and 0 elsewhere.

    A count that is too large for its registers wraps to 0.
    """
    registers = [0] * size
    for field in fields:
        value = values[field.name]
        if isinstance(value, str):
            data = text_bytes(value).ljust(_TEXT_BYTES, b"\0")
        elif field.kind == "f32":
            data = struct.pack(">f", max(-3.4e38, min(3.4e38, value)))
        else:
            data = struct.pack(_FORMATS[field.kind], int(value) % 2 ** (16 * field.registers))
        words = list(struct.unpack(f">{field.registers}H", data))
        if low_first and field.kind != "text":
            words.reverse()
        registers[field.offset : field.offset + len(words)] = words
    return registers


def text_bytes(text: str) -> bytes:
    """Return the beginning of a text in UTF-8, at most 32 bytes, without half a character at its end."""
    return text.encode()[:_TEXT_BYTES].decode(errors="ignore").encode()


def bits(flags: Mapping[str, str], **values: bool) -> int:
    """Return a register in which each flag that is true sets its bit.

    Args:
        flags: Names of all flags, in the order of their bits.
        **values: Values of the flags, by name; a flag that is left out is false.
    """
    return sum(values[name] << at for at, name in enumerate(flags))


def document(number: int = 0) -> str:
    """Return the map of a station's block in Markdown.

    Args:
        number: Number of the station, from 0, in the order of the configuration.
    """
    base = number * BLOCK
    newest, slots = base + NEWEST, base + SLOTS
    return "\n".join(
        [
            _table(STATION_FIELDS, base),
            f"The newest part, at {newest} to {newest + SLOT - 1}:\n",
            _table(PART_FIELDS, newest),
            f"The last {RING} parts, at {slots} to {slots + RING * SLOT - 1}, with {SLOT} registers per part in the "
            f"same order: the part with `number` n begins at {slots} + {SLOT} * (n modulo {RING}).\n",
        ]
    )


def _table(fields: tuple[RegisterField, ...], base: int) -> str:
    lines = ["| register | name | type | meaning |", "|---|---|---|---|"]
    for field in fields:
        first = base + field.offset
        place = str(first) if field.registers == 1 else f"{first} to {first + field.registers - 1}"
        lines.append(f"| {place} | `{field.name}` | {field.kind} | {field.meaning} |")
    return "\n".join(lines) + "\n"
