"""The messages of the MQTT contract, version 1, and the topics they go to.

    Verdict    every inspected part
    Defect     a rejected part: its verdict and the regions that caused it
    Status     what the station is doing; retained, and the last will
    Health     rates, latencies, drops, the outbox; retained

Commands and replies are in edge/commands.py; edge/schema.py writes all of it to docs/mqtt/. Payloads are JSON in UTF-8,
times RFC 3339 in UTC with microseconds, ids UUIDv7. A field is never renamed or retyped within version 1. Every field
of a message is always present; one without a value is null.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from edge_inspect.edge.ids import UUID7_PATTERN, uuid7
from edge_inspect.edge.text import clean

CONTRACT_VERSION: Literal[1] = 1
TOPIC_ROOT = f"edge-inspect/v{CONTRACT_VERSION}"

State = Literal["starting", "online", "degraded", "paused", "stopping", "offline"]
StageState = Literal["working", "failed", "idle", "stuck"]
Precision = Literal["int8", "bf16", "fp16", "fp32"]
HealthWarning = Literal[
    "frozen",
    "dark",
    "overexposed",
    "out_of_focus",
    "light_changed",
    "focus_changed",
    "position_changed",
    "many_rejects",
    "score_drift",
    "disk",
    "throttled",
]
Cause = Literal["light", "focus", "position", "parts"]
"""What the pictures say why parts score otherwise than they did; `parts`: the pictures are as they were."""

_TIME_PATTERN = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"
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
Uuid7 = Annotated[str, Field(pattern=UUID7_PATTERN)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Count = Annotated[int, Field(ge=0)]
_LONGEST_REASON = 1024


def _fit_reason(text: Any) -> Any:
    return clean(text)[:_LONGEST_REASON] if isinstance(text, str) else text


def _fit_part_id(text: Any) -> Any:
    try:
        return text.encode().decode()[:256] if isinstance(text, str) else text
    except UnicodeEncodeError:
        return clean(text)[:256]


# What is said may come from a system, a driver or the name of a file: anything can be sent, and what is long is cut.
Said = Annotated[str, BeforeValidator(_fit_reason)]
Reason = Annotated[Said, Field(max_length=_LONGEST_REASON)]
# A scanner's control characters are the part's, as the separators of a GS1 code are: they come back as they were given.
PartId = Annotated[str, BeforeValidator(_fit_part_id), Field(max_length=256)]


class ContractModel(BaseModel):
    """What the contract knows, and nothing else: a field it does not know is refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        ser_json_inf_nan="constants",  # so that to_json sees them; as null they would pass
        json_schema_serialization_defaults_required=True,
    )


class Message(ContractModel):
    """What every message of the contract has."""

    contract: Literal[1] = Field(default=CONTRACT_VERSION, description="version of the contract")
    boot_id: Name = Field(description="changes with every boot of the box")
    id: Uuid7 = Field(
        default_factory=uuid7,
        description="the same in every repeat of this message, so that a subscriber can drop repeats",
    )
    sequence: Count = Field(description="of the station's newest part; one that has not arrived is waiting, or lost")

    def to_json(self) -> bytes:
        """Return the payload.

        Raises:
            ValueError: a number is not finite; validation refuses those too, `model_construct` does not.
        """
        fields_ = self.model_dump(mode="json")
        return json.dumps(fields_, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


class BundleReference(ContractModel):
    """Which bundle decided."""

    name: Name
    digest: Name = Field(description="digest of the bundle's manifest")


class FrameSize(ContractModel):
    """Size of the original frame in pixels."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)


class Region(ContractModel):
    """A defect: a connected area of the map that holds a value above the threshold, in pixels of the original frame."""

    bbox: tuple[int, int, int, int] = Field(description="x, y, width, height")
    area_px: int = Field(gt=0)
    area_mm2: float | None = Field(default=None, gt=0, description="where the camera's scale is configured")
    peak: float = Field(description="highest value of the anomaly map inside the region")
    centroid: tuple[float, float] = Field(description="x, y")


class Verdict(Message):
    """What was decided about one part."""

    sequence: int = Field(ge=1, description="counts the station's parts from 1, over reboots; a gap is a loss")
    part_id: PartId | None = Field(default=None, description="as given with the trigger")
    captured_at: Time
    decided_at: Time
    ok: bool = Field(description="true: accept; false: reject")
    shadow: bool = Field(
        default=False,
        description="the station rejects nothing: `ok` is true, though the score may be above the threshold",
    )
    score: float
    threshold: float
    bundle: BundleReference
    precision: Precision
    engine: Name
    latency_ms: float = Field(ge=0, description="from the frame to the verdict")
    frame: FrameSize

    @property
    def is_above(self) -> bool:
        """Whether the score is above the threshold: what is rejected, but for a station in shadow."""
        return self.score > self.threshold


LARGEST_REGIONS = 32
"""So many regions a defect message has at most: brokers limit the size of a message."""


class Defect(Verdict):
    """A rejected part: its verdict, with the same id and sequence, and the regions."""

    ok: Literal[False] = Field(default=False, description="a defect is always a reject")
    regions: tuple[Region, ...] = Field(
        max_length=LARGEST_REGIONS, description="highest peak first; of more, the one with that peak and the largest"
    )
    region_count: Count = Field(description="of all regions of the part; above 32 not all of them are in `regions`")
    thumbnail: str | None = Field(default=None, pattern=_BASE64_PATTERN, description="JPEG, base64")

    @classmethod
    def of(cls, verdict: Verdict, regions: tuple[Region, ...], thumbnail: str | None = None) -> Defect:
        """Return the defect that belongs to a rejecting verdict.

        Args:
            verdict: The verdict.
            regions: All of the part's regions, highest peak first; of very many the largest are kept.
            thumbnail: JPEG, base64.

        Raises:
            ValueError: the verdict accepts the part.
        """
        return cls(**dict(verdict), regions=_largest(regions), region_count=len(regions), thumbnail=thumbnail)


def _largest(regions: tuple[Region, ...]) -> tuple[Region, ...]:
    """Return the regions that fit a message, in their order: the first, and the largest of the others."""
    others = sorted(range(1, len(regions)), key=lambda at: -regions[at].area_px)
    kept = {0, *others[: LARGEST_REGIONS - 1]}
    return tuple(region for at, region in enumerate(regions) if at in kept)


class Status(Message):
    """What the station is doing."""

    state: State
    at: Time = Field(description="since when; in an offline status left by the last will: when the station connected")
    reason: Reason | None = None
    version: Name = Field(description="version of edge-inspect")


class FrameCounts(ContractModel):
    """Frames since the service started."""

    inspected: Count
    accepted: Count
    rejected: Count
    dropped: Count = Field(description="frames and parts without a verdict")


class LatencyPercentiles(ContractModel):
    """Latency from the frame to the verdict, in milliseconds."""

    p50: float = Field(ge=0)
    p95: float = Field(ge=0)
    p99: float = Field(ge=0)


class OutboxHealth(ContractModel):
    """How full the outbox is, what it had to drop since it was made, and what is wrong with it."""

    entries: Count
    bytes: Count
    dropped_verdicts: Count
    dropped_defects: Count
    problem: Said | None = Field(default=None, description="what is wrong with the file, and what to do about it")
    set_aside: Said | None = Field(
        default=None, description="where the damaged file lies that the service found at its start"
    )


class ClockHealth(ContractModel):
    """Whether the box's clock can be believed: times in messages are by it, durations and limits are not."""

    steps: Count = Field(default=0, description="how often it was set by more than 1 s since the service started")
    last_step_s: float | None = Field(default=None, description="by how much the last time; above 0 is forward")


class MqttHealth(ContractModel):
    """The station's connection to the broker."""

    connected: bool
    reconnects: Count
    set_aside: Count = Field(
        default=0,
        description="messages that the broker does not take and that were given up, since the service started",
    )


class RefusalCounts(ContractModel):
    """Commands refused since the service started, by the reply's `refusal`."""

    malformed: Count = 0
    oversized: Count = 0
    unauthorised: Count = 0
    expired: Count = 0
    replayed: Count = 0
    busy: Count = 0
    impossible: Count = 0


class CommandCounts(ContractModel):
    """Commands since the service started."""

    done: Count = 0
    refused: RefusalCounts = RefusalCounts()


class EvidenceHealth(ContractModel):
    """Pictures of rejected and borderline parts, kept on the box."""

    saved: Count = Field(description="of this station, since the service started")
    dropped: Count = Field(description="of this station, because the disk was too slow, or full")
    bytes: Count = Field(description="of all stations")
    problem: Said | None = Field(default=None, description="why the disk takes none")


class StageHealth(ContractModel):
    """Whether a stage gets on."""

    state: StageState
    seconds: float = Field(ge=0, description="for which it has been so; at work: with what it has in hand")
    progress: Count = Field(description="pieces of work done since the service started")
    reason: Reason | None = Field(default=None, description="why it is idle, or what failed")


class PictureChangeHealth(ContractModel):
    """How far the last 100 frames or so differ from those of the calibration, or of the service's start."""

    light: float = Field(description="change of the mean grey level, as a share of what it was; below 0 is darker")
    light_limit: float = Field(gt=0, description="a larger change, either way, is a warning; so for the other limits")
    focus: float = Field(description="change of the sharpness, as a share of what it was; below 0 is blurred")
    focus_limit: float = Field(gt=0)
    position: float = Field(description="how far the centre of the edges has moved, as a share of the frame's side")
    position_limit: float = Field(gt=0)


class PictureHealth(ContractModel):
    """What the camera's last frame shows."""

    level: float = Field(ge=0, le=255, description="mean grey level")
    saturated: float = Field(ge=0, le=1, description="share of values at 250 and above")
    sharpness: float = Field(ge=0, description="deviation of the Laplacian over that of the grey levels")
    changes: PictureChangeHealth | None = Field(
        default=None, description="null before the first 100 frames where the bundle does not say what they looked like"
    )


class DriftHealth(ContractModel):
    """Whether parts score as those of the calibration did."""

    shift: float = Field(description="moving average of all parts' scores, in standard deviations; + is worse")
    limit: float = Field(gt=0, description="a larger shift, either way, is a drift")


class RejectHealth(ContractModel):
    """Whether more parts are rejected than usual."""

    share: float = Field(ge=0, le=1, description="of rejected parts, among about the last 200")
    usual: float = Field(gt=0, lt=1, description="that share may be so large without a warning")
    evidence: float = Field(ge=0, description="control chart: grows while more parts are rejected than usual")
    limit: float = Field(gt=0, description="the warning begins when `evidence` is here, and ends when that is 0 again")


class ShadowHealth(ContractModel):
    """How far a station in shadow has come."""

    parts: Count = Field(description="collected")
    wanted: Count = Field(description="after so many, parts are rejected")
    above: Count = Field(description="of those collected, parts whose score is above the threshold")


class Health(Message):
    """How the station is doing."""

    at: Time
    uptime_s: float = Field(ge=0, description="of the service")
    frames: FrameCounts
    fps: float = Field(ge=0, description="parts inspected a second")
    latency_ms: LatencyPercentiles | None = Field(default=None, description="null before the first part")
    outbox: OutboxHealth
    mqtt: MqttHealth
    commands: CommandCounts = CommandCounts()
    engine: Name
    precision: Precision
    bundle: BundleReference
    threshold: float = Field(description="in force: the bundle's, or what a command has set")
    stages: dict[Literal["camera", "engine", "outbox"], StageHealth] = Field(default_factory=dict)
    picture: PictureHealth | None = Field(default=None, description="null before the first frame")
    drift: DriftHealth | None = Field(
        default=None, description="null where the bundle does not say how good parts score"
    )
    rejects: RejectHealth | None = None
    shadow: ShadowHealth | None = Field(default=None, description="null where parts are rejected as ever")
    cause: Cause | None = Field(
        default=None, description="likely one of a warning of rejects, scores or changed pictures; null without one"
    )
    remedy: Said | None = Field(default=None, description="what has changed, and what to look at; null as `cause`")
    warnings: tuple[HealthWarning, ...] = Field(default=(), description="what will spoil verdicts, or soon stop them")
    disk_free_bytes: Count | None = Field(default=None, description="room for the outbox")
    throttled: bool | None = Field(default=None, description="heat or current slows the box; null: it cannot tell")
    temperature_c: float | None = Field(default=None, description="the hottest part of the box")
    evidence: EvidenceHealth | None = Field(default=None, description="null where none is saved")
    clock: ClockHealth = ClockHealth()


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
