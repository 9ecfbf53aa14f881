"""The fields of a station's messages that the bridge reads. Other fields are ignored: a later release may add some."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from edge_inspect.edge.contract.commands import PartSequence
from edge_inspect.edge.contract.fields import Time, Uuid7


class ReceivedFields(BaseModel):
    """Base of the models in this file: unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class ReceivedRegion(ReceivedFields):
    """A region of a defect: the fields that classes of defects need."""

    area_px: int
    area_mm2: float | None = None
    area_name: str | None = None


class ReceivedPart(ReceivedFields):
    """One part, read from its verdict, or from its defect, which contains the verdict."""

    sequence: PartSequence
    id: Uuid7
    boot_id: str
    part_id: str | None = None
    decided_at: Time
    ok: bool
    shadow: bool = False
    recipe: str | None = None
    score: float
    threshold: float
    reason: str | None = None
    regions: tuple[ReceivedRegion, ...] | None = Field(
        default=None, description="null: the message is a verdict, not a defect"
    )
    region_count: int | None = Field(
        default=None, ge=0, description="number of all regions; null: sent by a release without this field"
    )

    @property
    def all_regions(self) -> int:
        """Number of regions of the part. If there are very many, the defect message contains only some of them."""
        return len(self.regions or ()) if self.region_count is None else self.region_count

    @property
    def complete(self) -> bool:
        """Whether no further message about the part is expected. The defect of a rejected part follows its verdict."""
        return self.ok or self.regions is not None


class ReceivedRejects(ReceivedFields):
    """The share of rejected parts, from 0 to 1."""

    share: float = Field(ge=0, le=1)


class ReceivedRecipe(ReceivedFields):
    """The recipe in a health message."""

    active: str
    state: str


class StatusOrHealth(ReceivedFields):
    """A status or health message. It shows that a station is alive, and the sequence number of its newest part."""

    boot_id: str
    sequence: int = Field(ge=0, le=2**53)
    state: str | None = Field(default=None, description="only in a status")
    warnings: tuple[str, ...] | None = Field(default=None, description="only in health")
    cause: str | None = Field(default=None, description="only in health")
    rejects: ReceivedRejects | None = Field(default=None, description="only in health")
    recipe: str | ReceivedRecipe | None = Field(default=None, description="in a status only the recipe's name")


class ResentParts(ReceivedFields):
    """The range of parts that the station sends again."""

    first: int
    last: int


class ReceivedRecipeChange(ReceivedFields):
    """The recipe in force after a change-over."""

    after: str


class ReceivedReply(ReceivedFields):
    """The station's reply to a command."""

    command_id: str | None = None
    done: bool
    refusal: str | None = None
    reason: str | None = None
    resend: ResentParts | None = None
    recipe: ReceivedRecipeChange | None = None
