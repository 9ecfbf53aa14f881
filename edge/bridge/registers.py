"""The register map: what a PLC reads of a station, and where.

Station 0's block begins at register 0, station 1's at 1000, and so on. Fields of two registers hold their high or their
low half first, as `modbus.word_order` says; a register's bytes are big-endian, as Modbus has them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple

MAP_VERSION = 1
BLOCK = 1000
"""Registers from one station's block to the next one's."""
NEWEST = 40
SLOTS = 100
"""Where the newest part and the first slot begin in a block."""
SLOT = 32
"""Registers of a part."""
RING = 16
"""Slots: how many parts can be read back."""
CLASSES = 8
ACKNOWLEDGED = 22

Kind = Literal["u16", "u32", "f32", "text"]
_FORMATS = {"u16": ">H", "u32": ">I", "f32": ">f"}
_TEXT_BYTES = 32
_REGISTERS = {"u16": 1, "u32": 2, "f32": 2, "text": _TEXT_BYTES // 2}


class Field(NamedTuple):
    """One value: its name, its first register in the block or the slot, its type, and what it means."""

    name: str
    offset: int
    kind: Kind
    meaning: str

    @property
    def registers(self) -> int:
        """How many registers it has."""
        return _REGISTERS[self.kind]


FLAGS = {
    "stale": "nothing here is to be believed: one of the three below, or the bridge has not heard the station yet",
    "broker_lost": "no connection to the broker, or its answer to the subscriptions has not come",
    "offline": "the station says so, or its last will",
    "silent": "nothing came from the station for `stale_after_s`",
    "gap": "parts are missing and are asked for",
    "lost": "parts were lost for good",
    "overrun": "parts were dropped because the PLC did not acknowledge",
    "waiting": "parts wait for an acknowledgement",
}
STATES = ("unknown", "starting", "online", "degraded", "paused", "stopping", "offline")
WARNINGS = {
    "frozen": "the camera gives the same picture again and again",
    "dark": "the picture is dark",
    "overexposed": "the picture is overexposed",
    "out_of_focus": "the picture is out of focus",
    "light_changed": "the light is not as it was",
    "focus_changed": "the sharpness is not as it was",
    "position_changed": "the part lies elsewhere in the picture",
    "many_rejects": "more parts are rejected than usual",
    "score_drift": "parts do not score as at calibration",
    "disk": "the disk has too little room",
    "throttled": "the box slows itself down",
}
CAUSES = ("none", "light", "focus", "position", "parts")
RESULTS = {"accept": 1, "reject": 2}
PART_FLAGS = {
    "late": "a part with a higher sequence was here before: for counting, too late for an ejector",
    "cut": "part_id is longer than 32 bytes; these are its first",
    "shadow": "the station is in shadow: the part is accepted, though its score may be above the threshold",
}

STATION_FIELDS = (
    Field("map_version", 0, "u16", f"{MAP_VERSION}; another number is another map"),
    Field("flags", 1, "u16", "bits, see below; bit 0 is stale"),
    Field("state", 2, "u16", "of the station, see below"),
    Field("heartbeat", 3, "u16", "counts up once a second while the bridge works; 0 follows 65535"),
    Field("heard", 4, "u16", "counts the station's messages; 0 follows 65535"),
    Field("silence", 5, "u16", "seconds since its last one; 65535: that or more, or none yet"),
    Field("starts", 6, "u16", "counts the bridge's starts"),
    Field("resets", 7, "u16", "counts how often the station's sequence began anew: its outbox was replaced"),
    Field("parts", 8, "u32", "counts the parts; moves when everything else of a part is written"),
    Field("accepted", 10, "u32", "of these, accepted"),
    Field("rejected", 12, "u32", "of these, rejected"),
    Field("missing", 14, "u32", "parts that are asked for at present"),
    Field("lost", 16, "u32", "parts that cannot be had any more"),
    Field("repeats", 18, "u32", "messages that had come before"),
    Field("overruns", 20, "u32", "parts dropped because the PLC did not acknowledge"),
    Field("acknowledged", ACKNOWLEDGED, "u16", "written by the PLC: low half of the last `parts` it has dealt with"),
    Field("warnings", 23, "u16", "bits, see below, as the station's last health says"),
    *(
        Field(f"class_{number}", 24 + 2 * number, "u32", text)
        for number, text in enumerate(
            ["rejected parts of no class", *(f"rejected parts of class {n}" for n in range(1, CLASSES))]
        )
    ),
    Field("cause", 72, "u16", "likely one of the warnings of rejects, scores and changed pictures, see below"),
    Field("rejecting", 73, "u16", "share of rejects among about the last 200 parts, in thousandths"),
)
PART_FIELDS = (
    Field("number", 0, "u32", "`parts` when it came; 0: empty"),
    Field("result", 2, "u16", "1: accept, 2: reject"),
    Field("part_flags", 3, "u16", "bits, see below; bit 0 is late"),
    Field("class", 4, "u16", "of a rejected part: 1 to 7, 0: none"),
    Field("regions", 5, "u16", "how many"),
    Field("sequence", 6, "u32", "the station's count of its parts, low half of 64 bits"),
    Field("score", 8, "f32", ""),
    Field("threshold", 10, "f32", "accept: the score is not above it"),
    Field("decided", 12, "u32", "when, in s since 1970, UTC"),
    Field("decided_ms", 14, "u16", "and ms"),
    Field("part_id", 16, "text", "UTF-8, two bytes a register, the first in the high byte, zeros behind"),
)

Values = Mapping[str, int | float | str]


def encode(fields: tuple[Field, ...], values: Values, size: int, *, low_first: bool) -> list[int]:
    """Return `size` registers with the values in their places, 0 elsewhere.

    Counts begin anew at 0 after their highest.
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
    """Return as much of a text as there is room for, without half a character at its end."""
    return text.encode()[:_TEXT_BYTES].decode(errors="ignore").encode()


def bits(flags: Mapping[str, str], **values: bool) -> int:
    """Return a register with the bits of those flags that are set."""
    return sum(values[name] << at for at, name in enumerate(flags))


def document(number: int = 0) -> str:
    """Return the map of a station's block in Markdown, by its number."""
    base = number * BLOCK
    newest, slots = base + NEWEST, base + SLOTS
    return "\n".join(
        [
            _table(STATION_FIELDS, base),
            f"The newest part, at {newest} to {newest + SLOT - 1}:\n",
            _table(PART_FIELDS, newest),
            f"The last {RING} parts, each as the newest one, {SLOT} registers a part, at {slots} to "
            f"{slots + RING * SLOT - 1}: the part with `number` n begins at {slots} + {SLOT} * (n modulo {RING}).\n",
        ]
    )


def _table(fields: tuple[Field, ...], base: int) -> str:
    lines = ["| register | name | type | meaning |", "|---|---|---|---|"]
    for field in fields:
        first = base + field.offset
        place = str(first) if field.registers == 1 else f"{first} to {first + field.registers - 1}"
        lines.append(f"| {place} | `{field.name}` | {field.kind} | {field.meaning} |")
    return "\n".join(lines) + "\n"
