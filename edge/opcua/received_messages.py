"""The fields of a station's messages that the OPC UA server reads. Others are ignored: a later release may add some."""

from __future__ import annotations

from pydantic import Field

from edge_inspect.edge.bridge import received_messages as bridge
from edge_inspect.edge.bridge.received_messages import ReceivedFields
from edge_inspect.edge.contract.fields import Time
from edge_inspect.edge.contract.received_messages import LARGEST_BYTES, UnreadableMessage
from edge_inspect.edge.text import clean


class ReceivedBundle(ReceivedFields):
    """The bundle that decided."""

    name: str
    digest: str


class ReceivedRegion(ReceivedFields):
    """A defective region, in pixels of the frame."""

    bbox: tuple[int, int, int, int]
    area_px: int
    peak: float
    view: str | None = None


class ReceivedPart(bridge.ReceivedPart):
    """One part, read from its verdict, or from its defect, which contains the verdict."""

    captured_at: Time
    bundle: ReceivedBundle
    precision: str
    latency_ms: float
    area_name: str | None = None
    not_found: str | None = None
    # The base class's regions have fewer fields; nothing writes to either, so the wider tuple may stand for it.
    regions: tuple[ReceivedRegion, ...] | None = None  # type: ignore[assignment]
    region_count: int | None = Field(default=None, ge=0, le=2**31 - 1)


class ReceivedStatus(ReceivedFields):
    """State of a station."""

    state: str
    at: Time
    reason: str | None = None
    version: str = ""
    recipe: str | None = None


class ReceivedStage(ReceivedFields):
    """State of the camera, the engine or the outbox."""

    state: str
    reason: str | None = None


class ReceivedCounts(ReceivedFields):
    """Numbers of frames since the service started."""

    inspected: int = Field(default=0, ge=0, le=2**63 - 1)
    accepted: int = Field(default=0, ge=0, le=2**63 - 1)
    rejected: int = Field(default=0, ge=0, le=2**63 - 1)
    dropped: int = Field(default=0, ge=0, le=2**63 - 1)


class ReceivedLatency(ReceivedFields):
    """Latency from the frame to the verdict, in milliseconds."""

    p50: float
    p99: float


class ReceivedShare(ReceivedFields):
    """Share of rejected parts among about the last 200, 0 to 1."""

    share: float


class RecipeState(ReceivedFields):
    """How far a change of recipe is.

    Attributes:
        requested: Name of the recipe that was asked for last; `None`: none was.
        active: Name of the recipe in force; `None`: none is.
        state: "active", "changing" or "failed".
        error: Why the change failed; `None` if it did not.
        names: Names of all recipes of the station.
    """

    requested: str | None = None
    active: str | None = None
    state: str | None = None
    error: str | None = None
    names: tuple[str, ...] = ()


class ReceivedHealth(ReceivedFields):
    """Condition of a station."""

    at: Time
    uptime_s: float = 0.0
    frames: ReceivedCounts = ReceivedCounts()
    fps: float = 0.0
    latency_ms: ReceivedLatency | None = None
    engine: str = ""
    precision: str = ""
    bundle: ReceivedBundle | None = None
    threshold: float | None = None
    recipe: RecipeState | None = None
    stages: dict[str, ReceivedStage] = Field(default_factory=dict)
    rejects: ReceivedShare | None = None
    cause: str | None = None
    remedy: str | None = None
    warnings: tuple[str, ...] = ()
    temperature_c: float | None = None
    disk_free_bytes: int | None = Field(default=None, ge=0, le=2**63 - 1)


ReceivedMessage = ReceivedPart | ReceivedStatus | ReceivedHealth
MODELS: dict[str, type[ReceivedMessage]] = {
    "verdict": ReceivedPart,
    "defect": ReceivedPart,
    "status": ReceivedStatus,
    "health": ReceivedHealth,
}
"""The models of the messages that are read, by the last level of their topic."""


def read_message(kind: str, payload: bytes) -> ReceivedMessage:
    """Read a message.

    Args:
        kind: A key of `MODELS`.
        payload: The message.

    Raises:
        UnreadableMessage: It is too large, or not a message of this kind.
    """
    if len(payload) > LARGEST_BYTES:
        raise UnreadableMessage(f"it has {len(payload)} bytes, and {LARGEST_BYTES} are the limit")
    try:
        return MODELS[kind].model_validate_json(payload)
    except ValueError as error:
        raise UnreadableMessage(clean(" ".join(str(error).split()))[:300]) from None
