"""A part, with what its views have said so far."""

from __future__ import annotations

from pydantic import BaseModel

from edge_inspect.edge.contract.messages import Defect, Region, Verdict


class SeenView(BaseModel):
    """The verdict of one view.

    Attributes:
        verdict: The verdict, as the station has published it.
        regions: Its regions; empty if the view accepts the part, or if its defect did not come.
        region_count: Number of all regions; a defect with very many contains only some of them.
    """

    verdict: Verdict
    regions: tuple[Region, ...] = ()
    region_count: int = 0

    @classmethod
    def of(cls, message: Verdict) -> SeenView:
        """Return what a verdict says, or a defect, which contains its verdict."""
        if isinstance(message, Defect):
            return cls(verdict=message, regions=message.regions, region_count=message.region_count)
        return cls(verdict=message)


class Part(BaseModel):
    """A part that waits for its views; or one that was decided and still lacks a view, which may come late.

    Attributes:
        number: Number of the part in the order in which parts became known.
        at: Time of the trigger, in seconds since 1970: the time at which the first known view was taken, minus the
            delay of that view.
        part_id: Id of the part; `None` if no view has given one.
        seen: What the views have said, by the names of the views; empty once the part is decided.
        times: Time of the trigger by each view that has come, in seconds since 1970; late views too.
        after_pause: Whether the part is the first one after a pause of the line.
        alone: Whether the part is one verdict that cannot be matched, so that no other view joins it.
        problem: Why it is uncertain which views belong to the part; such a part is rejected. `None`: nothing.
        uncertain: Name of the view that `problem` is about.
        decided: Whether the part was decided.
    """

    number: int
    at: float
    part_id: str | None = None
    seen: dict[str, SeenView] = {}
    times: dict[str, float] = {}
    after_pause: bool = False
    alone: bool = False
    problem: str | None = None
    uncertain: str | None = None
    decided: bool = False
