"""The message `health` and its parts."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
)

from edge_inspect.edge.contract.fields import (
    ContractModel,
    Count,
    FreeText,
    Name,
    Precision,
    Reason,
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
"""Likely reason why scores have changed, found in the pictures. `parts`: the pictures are unchanged."""


RecipeState = Literal["active", "changing", "failed"]


class FrameCounts(ContractModel):
    """Numbers of frames since the service started."""

    inspected: Count = Field(description="frames that got a verdict: accepted + rejected")
    accepted: Count
    rejected: Count
    dropped: Count = Field(description="dropped frames: frames and parts that got no verdict")


class LatencyPercentiles(ContractModel):
    """Latency from the frame to the verdict, in milliseconds."""

    p50: float = Field(ge=0, description="median")
    p95: float = Field(ge=0, description="95 % of the parts took no longer than this")
    p99: float = Field(ge=0, description="99 % of the parts took no longer than this")


class OutboxHealth(ContractModel):
    """The outbox: messages that wait for the broker, messages that were dropped, and faults of the file."""

    entries: Count = Field(description="messages that wait, of all stations")
    bytes: Count = Field(description="size of these messages, in bytes")
    dropped_verdicts: Count = Field(description="verdicts dropped unsent since the outbox was created")
    dropped_defects: Count = Field(description="defects dropped unsent since the outbox was created")
    problem: FreeText | None = Field(
        default=None, description="what is wrong with the outbox's file, and what to do about it; null: nothing"
    )
    set_aside: FreeText | None = Field(
        default=None, description="path of the damaged file that the service replaced at its start; null: none"
    )


class ClockHealth(ContractModel):
    """Changes of the box's clock. Times in messages come from this clock, durations and time limits do not."""

    steps: Count = Field(
        default=0, description="how often the clock was set by more than 1 s since the service started"
    )
    last_step_s: float | None = Field(
        default=None, description="size of the last such step, in seconds; positive: forward; null: there was none"
    )


class MqttHealth(ContractModel):
    """The station's connection to the broker."""

    connected: bool
    reconnects: Count = Field(description="how often the station has reconnected since the service started")
    set_aside: Count = Field(
        default=0, description="messages given up since the service started, because the broker did not accept them"
    )


class RefusalCounts(ContractModel):
    """Numbers of commands refused since the service started, by the reply's `refusal`."""

    malformed: Count = 0
    oversized: Count = 0
    unauthorised: Count = 0
    expired: Count = 0
    replayed: Count = 0
    busy: Count = 0
    impossible: Count = 0


class CommandCounts(ContractModel):
    """Numbers of commands since the service started."""

    done: Count = Field(default=0, description="commands carried out")
    refused: RefusalCounts = RefusalCounts()


class EvidenceHealth(ContractModel):
    """Pictures of rejected and borderline parts that are saved on the box."""

    saved: Count = Field(description="parts of this station saved since the service started")
    dropped: Count = Field(description="parts of this station not saved, because the disk was too slow or full")
    bytes: Count = Field(description="disk space used by the evidence of all stations, in bytes")
    problem: FreeText | None = Field(default=None, description="why nothing can be saved; null: all is well")


class PublishedPictures(ContractModel):
    """Pictures of parts that the station publishes with their maps."""

    published: Count = Field(description="parts whose picture and map were published since the service started")
    dropped: Count = Field(
        description="parts whose picture was due but was not published: more came than `pictures.per_second` allows, "
        "the connection was slow or lost, or the picture is above the broker's packet limit"
    )


class StageHealth(ContractModel):
    """State of the camera, the engine or the outbox, as the watchdog sees it."""

    state: StageState
    seconds: float = Field(
        ge=0, description="time in this state, in seconds; if working: time spent on the present piece of work"
    )
    progress: Count = Field(description="pieces of work done since the service started")
    reason: Reason | None = Field(default=None, description="why the stage is idle, or what failed")


class PictureChangeHealth(ContractModel):
    """Difference between about the last 100 frames and the frames of the calibration, or of the service's start."""

    light: float = Field(description="relative change of the mean grey level; -0.15: 15 % darker")
    light_limit: float = Field(gt=0, description="a larger change of `light`, in either direction, raises a warning")
    focus: float = Field(description="relative change of the sharpness; negative: more blurred")
    focus_limit: float = Field(gt=0, description="a larger change of `focus`, in either direction, raises a warning")
    position: float = Field(description="how far the centre of the edges has moved, as a share of the frame's side")
    position_limit: float = Field(gt=0, description="a larger `position` raises a warning")


class PictureHealth(ContractModel):
    """Figures of the camera's last frame."""

    level: float = Field(ge=0, le=255, description="mean grey level, 0 to 255")
    saturated: float = Field(ge=0, le=1, description="share of pixel values that are 250 or more")
    sharpness: float = Field(
        ge=0, description="standard deviation of the Laplacian ÷ standard deviation of the grey levels"
    )
    changes: PictureChangeHealth | None = Field(
        default=None,
        description="changes since the calibration; null during the first 100 frames if the bundle contains no figures "
        "of the calibration's frames",
    )


class DriftHealth(ContractModel):
    """Shift of the parts' scores since the calibration."""

    shift: float = Field(
        description="moving average of all scores minus the calibration's mean, in standard deviations; positive: worse"
    )
    limit: float = Field(gt=0, description="a larger `shift`, in either direction, raises a warning")


class RejectHealth(ContractModel):
    """Whether more parts are rejected than usual."""

    share: float = Field(ge=0, le=1, description="share of rejected parts among about the last 200")
    usual: float = Field(gt=0, lt=1, description="largest share of rejected parts that raises no warning")
    evidence: float = Field(
        ge=0, description="value of the control chart (CUSUM), which grows while more parts than usual are rejected"
    )
    limit: float = Field(
        gt=0, description="the warning begins when `evidence` reaches this limit, and ends when `evidence` is 0 again"
    )


class ShadowHealth(ContractModel):
    """Progress of a station in shadow, which rejects nothing while it collects scores."""

    parts: Count = Field(description="parts whose scores were collected so far")
    wanted: Count = Field(description="parts to collect; after that, parts are rejected again")
    above: Count = Field(description="collected parts whose score is above the threshold")


class RecipeHealth(ContractModel):
    """The recipe of a station, and its last change-over."""

    requested: Name = Field(description="name of the recipe that was asked for last")
    active: Name = Field(description="name of the recipe in force")
    state: RecipeState = Field(
        description="active: the requested recipe is in force; changing: its bundle is being opened; failed: it cannot "
        "be used, and another one stays in force"
    )
    error: Reason | None = Field(default=None, description="why the change-over failed; null: it did not")
    names: tuple[Name, ...] = Field(description="names of all recipes, in the order of the station's configuration")


class Health(Message):
    """Condition of the station: counts, latency, faults and warnings."""

    at: Time = Field(description="time of the figures")
    uptime_s: float = Field(ge=0, description="time since the service started, in seconds")
    frames: FrameCounts
    fps: float = Field(ge=0, description="parts inspected per second")
    latency_ms: LatencyPercentiles | None = Field(default=None, description="null before the first part")
    outbox: OutboxHealth
    mqtt: MqttHealth
    commands: CommandCounts = CommandCounts()
    engine: Name = Field(description="engine that runs the network: openvino or tensorrt")
    precision: Precision
    precision_reason: FreeText | None = Field(
        default=None,
        description="why the network runs in this precision: the times measured on this box, or the configuration; "
        "null if an older version published the message",
    )
    bundle: BundleReference
    recipe: RecipeHealth | None = Field(
        default=None,
        description="null if the station has no recipes; otherwise bundle, threshold and figures are those of the "
        "recipe in force, and the warnings are those of all recipes that judged a part within the last minute",
    )
    threshold: float = Field(description="threshold in use: the bundle's, or one that a command has set")
    stages: dict[Literal["camera", "engine", "outbox"], StageHealth] = Field(default_factory=dict)
    picture: PictureHealth | None = Field(default=None, description="null before the first frame")
    drift: DriftHealth | None = Field(
        default=None, description="null if the bundle does not contain the scores of good parts"
    )
    rejects: RejectHealth | None = None
    shadow: ShadowHealth | None = Field(default=None, description="null if the station is not in shadow")
    cause: Cause | None = Field(
        default=None,
        description="likely cause of a warning about rejects, scores or changed pictures; null without such a warning",
    )
    remedy: FreeText | None = Field(
        default=None, description="what has changed, and what to check on the line; null if `cause` is null"
    )
    warnings: tuple[HealthWarning, ...] = Field(
        default=(), description="conditions that make verdicts unreliable, or will soon stop the inspection"
    )
    disk_free_bytes: Count | None = Field(default=None, description="free space on the outbox's disk, in bytes")
    throttled: bool | None = Field(
        default=None,
        description="true: the box is slowed down by heat or overcurrent; null: the box does not report it",
    )
    temperature_c: float | None = Field(default=None, description="temperature of the hottest sensor of the box, in °C")
    evidence: EvidenceHealth | None = Field(default=None, description="null if the station saves no evidence")
    pictures: PublishedPictures | None = Field(default=None, description="null if the station publishes no pictures")
    clock: ClockHealth = ClockHealth()
