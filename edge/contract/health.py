"""The message `health` and its parts."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
)

from edge_inspect.edge.contract.fields import (
    ContractModel,
    Count,
    Name,
    Precision,
    Reason,
    Said,
    Time,
)
from edge_inspect.edge.contract.messages import BundleReference, Message

StageState = Literal["working", "failed", "idle", "stuck"]


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
