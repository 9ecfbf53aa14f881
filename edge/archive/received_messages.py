"""The messages that the archive reads.

The models ask for no more than the columns need, so that a message of a later release is stored too. Fields without a
column are kept in the column `more` of the verdict: `views` of a joint part, and those of a later release.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from edge_inspect.edge.bridge.received_messages import ReceivedFields, ReceivedPart, ReceivedReply, StatusOrHealth
from edge_inspect.edge.contract.fields import Time, Uuid7
from edge_inspect.edge.contract.ids import UUID7_PATTERN_READ

Whole = Annotated[int, Field(ge=-(2**31), lt=2**31)]
"""A whole number that the databases can store in an INTEGER."""


Short = Annotated[str, Field(max_length=256)]
"""A text that the databases can store in an index."""


class ArchivedBundle(ReceivedFields):
    """The bundle that decided."""

    name: Short
    digest: Short


class ArchivedFrame(ReceivedFields):
    """Size of the frame in pixels."""

    width: Whole = Field(gt=0)
    height: Whole = Field(gt=0)


class ArchivedRegion(ReceivedFields):
    """A region of a defect."""

    bbox: tuple[Whole, Whole, Whole, Whole]
    area_px: Whole
    area_mm2: float | None = None
    peak: float
    centroid: tuple[float, float]
    area_name: str | None = None


class ArchivedPart(ReceivedPart):
    """One part, from its verdict, or from its defect, which contains the verdict. Unknown fields are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    part_id: Short | None = None
    captured_at: Time
    bundle: ArchivedBundle
    precision: str
    engine: str
    latency_ms: float
    frame: ArchivedFrame
    area_name: str | None = None
    not_found: Short | None = None
    recipe: Short | None = None
    # The base class's regions have fewer fields; nothing writes to either, so the wider tuple may stand for it.
    regions: tuple[ArchivedRegion, ...] | None = None  # type: ignore[assignment]
    region_count: Whole | None = None
    thumbnail: str | None = None

    @property
    def more(self) -> dict[str, Any] | None:
        """The fields without a column; `None` if there are none."""
        extra = self.model_extra or {}
        return {name: extra[name] for name in extra if name != "contract" and extra[name] is not None} or None


class ArchivedStatus(StatusOrHealth):
    """A status, or health; the archive stores only the status."""

    id: Uuid7
    at: Time
    reason: str | None = None
    version: str | None = None


class _LabelledPart(ReceivedFields):
    id: Uuid7


class ArchivedLabel(ReceivedFields):
    """What a person said about a part."""

    id: Uuid7
    at: Time
    by: str
    word: str | None
    defect_class: str | None = None
    verdict: _LabelledPart
    picture_sha256: str


class _Loose(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)


class ArchivedCommand(_Loose):
    """A command that somebody has sent to a station."""

    id: str = Field(pattern=UUID7_PATTERN_READ)
    command: str
    by: str | None = None


class ArchivedReply(ReceivedReply):
    """A station's answer to a command. The fields beside these are the answer to its kind of command."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    id: Uuid7
    at: Time
    command_id: str | None = Field(default=None, pattern=UUID7_PATTERN_READ)
    command: str | None = None


ArchivedMessage = ArchivedPart | ArchivedStatus | ArchivedLabel | ArchivedCommand | ArchivedReply
MODELS: dict[str, type[ArchivedMessage]] = {
    "verdict": ArchivedPart,
    "defect": ArchivedPart,
    "status": ArchivedStatus,
    "health": ArchivedStatus,
    "label": ArchivedLabel,
    "command": ArchivedCommand,
    "reply": ArchivedReply,
}
"""The models of the messages, by the last level of their topic."""
