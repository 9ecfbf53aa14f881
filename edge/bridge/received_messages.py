"""What the bridge reads of a station's messages; a later release may add fields, so the others are not looked at."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from edge_inspect.edge.contract.commands import PartSequence
from edge_inspect.edge.contract.fields import Time, Uuid7


class ReceivedFields(BaseModel):
    """Fields of a message, the others ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class ReceivedRegion(ReceivedFields):
    """A region, as far as classes of defects go."""

    area_px: int
    area_mm2: float | None = None


class ReceivedPart(ReceivedFields):
    """One part, from its verdict, or from its defect, which is a verdict too."""

    sequence: PartSequence
    id: Uuid7
    boot_id: str
    part_id: str | None = None
    decided_at: Time
    ok: bool
    shadow: bool = False
    score: float
    threshold: float
    regions: tuple[ReceivedRegion, ...] | None = Field(default=None, description="null: a verdict, no defect")
    region_count: int | None = Field(default=None, ge=0, description="of all; null: a release that does not say it")

    @property
    def all_regions(self) -> int:
        """How many regions the part has; a defect does not bring all of very many."""
        return len(self.regions or ()) if self.region_count is None else self.region_count

    @property
    def complete(self) -> bool:
        """Whether no message about it is still to come: a rejected part has a defect after its verdict."""
        return self.ok or self.regions is not None


class ReceivedRejects(ReceivedFields):
    """How many parts are rejected, as far as the PLC reads it."""

    share: float = Field(ge=0, le=1)


class StatusOrHealth(ReceivedFields):
    """A status or a health: what shows that a station lives, and how far it has counted."""

    boot_id: str
    sequence: int = Field(ge=0, le=2**53)
    state: str | None = Field(default=None, description="of a status")
    warnings: tuple[str, ...] | None = Field(default=None, description="of a health")
    cause: str | None = Field(default=None, description="of a health")
    rejects: ReceivedRejects | None = Field(default=None, description="of a health")


class ResentParts(ReceivedFields):
    """Which parts are sent again."""

    first: int
    last: int


class ReceivedReply(ReceivedFields):
    """The answer to a command."""

    command_id: str | None = None
    done: bool
    refusal: str | None = None
    reason: str | None = None
    resend: ResentParts | None = None
