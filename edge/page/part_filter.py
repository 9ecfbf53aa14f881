"""The parts that a person wants to see in the review."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from edge_inspect.edge.contract.fields import Uuid7

Words = Literal["all", "unlabelled", "labelled", "good", "defect", "unsure"]
Only = Literal["all", "rejected", "borderline", "accepted"]
Order = Literal["new", "borderline"]
MOST_PARTS = 200


class PartFilter(BaseModel):
    """Conditions that a part must meet; all fields together.

    Attributes:
        station: Key of the station, `site/line/station`; `None`: every station.
        word: What was said about the part.
        only: The station's verdict on it. `borderline` means near the threshold, on either side.
        defect_class: Class that a person gave it.
        area: Name of the area in which the part, or one of its regions, is unusual.
        since: Earliest time of the verdict.
        until: Latest time of the verdict.
        score_min: Lowest score.
        score_max: Highest score.
        order: `new`: newest first; `borderline`: nearest to the threshold first.
        limit: Largest number of parts.
        after: Id of the part after which the list goes on; `None`: it starts at its beginning.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)

    station: str | None = Field(default=None, max_length=200)
    word: Words = "all"
    only: Only = "all"
    defect_class: str | None = Field(default=None, max_length=256, alias="class")
    area: str | None = Field(default=None, max_length=256)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    score_min: float | None = None
    score_max: float | None = None
    order: Order = "new"
    limit: int = Field(default=50, ge=1, le=MOST_PARTS)
    after: Uuid7 | None = None
