"""The messages of the MQTT contract, version 1, and the topics they go to.

    Verdict    every inspected part
    Defect     a rejected part: its verdict and the regions that caused it
    Status     what the station is doing; retained, and the last will
    Health     rates, latencies, drops, the outbox; retained

Payloads are JSON in UTF-8, times RFC 3339 in UTC with microseconds, ids UUIDv7. A field is never renamed or retyped
within version 1. Every field is always present; one without a value is null.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

CONTRACT_VERSION: Literal[1] = 1
TOPIC_ROOT = f"edge-inspect/v{CONTRACT_VERSION}"

State = Literal["starting", "online", "degraded", "paused", "stopping", "offline"]
Precision = Literal["int8", "fp16", "fp32"]

_TIME_PATTERN = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"
_UUID7_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_BASE64_PATTERN = r"^[A-Za-z0-9+/]+={0,2}$"


def format_time(moment: datetime) -> str:
    """Return an aware time as RFC 3339 in UTC with microseconds: `2026-01-31T06:07:08.000009Z`."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def utc_now() -> datetime:
    """Return the time now, aware, in UTC."""
    return datetime.now(timezone.utc)


Time = Annotated[
    AwareDatetime,
    AfterValidator(lambda moment: moment.astimezone(timezone.utc)),
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _TIME_PATTERN}),
]
Uuid7 = Annotated[str, Field(pattern=_UUID7_PATTERN)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Count = Annotated[int, Field(ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        ser_json_inf_nan="constants",  # so that to_json sees them; as null they would pass
        json_schema_serialization_defaults_required=True,
    )


class Message(_Model):
    """What every message of the contract has."""

    contract: Literal[1] = Field(default=CONTRACT_VERSION, description="version of the contract")
    boot_id: Name = Field(description="changes with every boot of the box")

    def to_json(self) -> bytes:
        """Return the payload.

        Raises:
            ValueError: a number is not finite; validation refuses those too, `model_construct` does not.
        """
        fields_ = self.model_dump(mode="json")
        return json.dumps(fields_, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


class BundleReference(_Model):
    """Which bundle decided."""

    name: Name
    digest: Name = Field(description="digest of the bundle's manifest")


class FrameSize(_Model):
    """Size of the original frame in pixels."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)


class Region(_Model):
    """One connected area above the pixel threshold, in pixels of the original frame."""

    bbox: tuple[int, int, int, int] = Field(description="x, y, width, height")
    area_px: int = Field(gt=0)
    area_mm2: float | None = Field(default=None, gt=0, description="where the camera's scale is configured")
    peak: float = Field(description="highest value of the anomaly map inside the region")
    centroid: tuple[float, float] = Field(description="x, y")


class Verdict(Message):
    """What was decided about one part."""

    id: Uuid7 = Field(description="the same in every repeat of this message, so that a subscriber can drop repeats")
    sequence: int = Field(ge=1, description="counts the station's parts from 1, over reboots; a gap is a loss")
    part_id: str | None = Field(default=None, max_length=256, description="as given with the trigger")
    captured_at: Time
    decided_at: Time
    ok: bool = Field(description="true: accept; false: reject")
    score: float
    threshold: float
    bundle: BundleReference
    precision: Precision
    engine: Name
    latency_ms: float = Field(ge=0, description="from the frame to the verdict")
    frame: FrameSize


class Defect(Verdict):
    """A rejected part: its verdict, with the same id and sequence, and the regions."""

    ok: Literal[False] = Field(default=False, description="a defect is always a reject")
    regions: tuple[Region, ...]
    thumbnail: str | None = Field(default=None, pattern=_BASE64_PATTERN, description="JPEG, base64")

    @classmethod
    def of(cls, verdict: Verdict, regions: tuple[Region, ...], thumbnail: str | None = None) -> Defect:
        """Return the defect that belongs to a rejecting verdict.

        Raises:
            ValueError: the verdict accepts the part.
        """
        return cls(**dict(verdict), regions=regions, thumbnail=thumbnail)


class Status(Message):
    """What the station is doing."""

    state: State
    at: Time = Field(description="since when; in an offline status left by the last will: when the station connected")
    reason: str | None = Field(default=None, max_length=1024)
    version: Name = Field(description="version of edge-inspect")


class FrameCounts(_Model):
    """Frames since the service started."""

    inspected: Count
    accepted: Count
    rejected: Count
    dropped: Count = Field(description="frames that no engine looked at")


class LatencyPercentiles(_Model):
    """Latency from the frame to the verdict, in milliseconds."""

    p50: float = Field(ge=0)
    p95: float = Field(ge=0)
    p99: float = Field(ge=0)


class OutboxHealth(_Model):
    """How full the outbox is, and what it had to drop since it was made."""

    entries: Count
    bytes: Count
    dropped_verdicts: Count
    dropped_defects: Count


class MqttHealth(_Model):
    """The station's connection to the broker."""

    connected: bool
    reconnects: Count


class Health(Message):
    """How the station is doing."""

    at: Time
    uptime_s: float = Field(ge=0, description="of the service")
    frames: FrameCounts
    fps: float = Field(ge=0, description="parts inspected a second")
    latency_ms: LatencyPercentiles | None = Field(default=None, description="null before the first part")
    outbox: OutboxHealth
    mqtt: MqttHealth
    engine: Name
    precision: Precision
    bundle: BundleReference
    temperature_c: float | None = None


@dataclass(frozen=True)
class Topics:
    """The topics of one station.

    Raises:
        ValueError: a name is empty, longer than 64 characters, or holds what a topic level cannot hold.
    """

    site: str
    line: str
    station: str

    def __post_init__(self) -> None:
        for field in fields(self):
            check_level(field.name, getattr(self, field.name))

    @property
    def prefix(self) -> str:
        """The topic above all of the station's topics, without a slash at its end."""
        return f"{TOPIC_ROOT}/{self.site}/{self.line}/{self.station}"

    @property
    def verdict(self) -> str:
        """Every inspected part; QoS 1."""
        return f"{self.prefix}/verdict"

    @property
    def defect(self) -> str:
        """Rejected parts only; QoS 1."""
        return f"{self.prefix}/defect"

    @property
    def status(self) -> str:
        """Status; QoS 1, retained, and the last will."""
        return f"{self.prefix}/status"

    @property
    def health(self) -> str:
        """Health; QoS 0, retained."""
        return f"{self.prefix}/health"

    @property
    def command(self) -> str:
        """Commands to the station; QoS 1."""
        return f"{self.prefix}/command"

    @property
    def reply(self) -> str:
        """The station's answers to commands; QoS 1."""
        return f"{self.prefix}/reply"

    def image(self, verdict_id: str) -> str:
        """Return the topic of the picture that belongs to a verdict; QoS 0."""
        check_level("verdict_id", verdict_id)
        return f"{self.prefix}/image/{verdict_id}"


def check_level(name: str, level: str) -> None:
    """Check a name that is to be a topic level.

    Raises:
        ValueError: it is empty, longer than 64 characters, or holds what a topic level cannot hold.
    """
    if not level or len(level) > 64:
        raise ValueError(f"{name}: {level[:80]!r} has {len(level)} characters; a topic level here has 1 to 64")
    if not level.isprintable() or any(character in "/+#" for character in level):
        raise ValueError(f"{name}: {level!r} holds '/', '+', '#' or a character that cannot be printed; leave it out")


_uuid7_lock = threading.Lock()
_uuid7_last = (0, 0)


def uuid7() -> str:
    """Return a UUID version 7 that sorts after every earlier one of this process (RFC 9562, 5.7 and 6.2, method 2).

    The order holds between threads and when the clock steps back: the last time is then kept and the 74 random bits
    are counted up by a random amount.
    """
    global _uuid7_last
    with _uuid7_lock:
        last_ms, last_random = _uuid7_last
        now_ms = time.time_ns() // 1_000_000
        if now_ms > last_ms:
            # The highest bit starts at zero to leave room for counting up.
            _uuid7_last = (now_ms, int.from_bytes(os.urandom(10), "big") >> 7)
        else:
            counted = last_random + 1 + int.from_bytes(os.urandom(4), "big")
            _uuid7_last = (last_ms + (counted >> 74), counted & ((1 << 74) - 1))
        milliseconds, random = _uuid7_last
    number = (milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62
    digits = f"{number | random & ((1 << 62) - 1):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema (2020-12) of each message, by the last level of its topic."""
    messages: dict[str, type[Message]] = {"verdict": Verdict, "defect": Defect, "status": Status, "health": Health}
    return {
        name: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **model.model_json_schema(mode="serialization"),
        }
        for name, model in messages.items()
    }
