"""The messages of the MQTT contract, version 1.

    Verdict       the decision on one part; published for every part
    Defect        a rejected part: its verdict, with the regions that caused it
    Status        the state of the station; retained, and also the last will
    LabelMessage  the word of a person about one part; the page publishes it, not the station

`Health` is in edge/contract/health.py, commands are in commands.py beside it, replies in replies.py. schema.py there
writes all of them to docs/mqtt/. Payloads are JSON in UTF-8, times are RFC 3339 in UTC with microseconds, ids are
UUIDv7. Within version 1 no field is renamed or changes its type. Every field of a message is always present; a field
without a value is null.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import (
    Field,
)

from edge_inspect.edge.contract.fields import (
    BASE64_PATTERN,
    CONTRACT_VERSION,
    ContractModel,
    Count,
    Name,
    NotFound,
    PartId,
    Precision,
    Reason,
    Time,
    Uuid7,
)
from edge_inspect.edge.contract.ids import uuid7

Word = Literal["good", "defect", "unsure"]
"""What a person may say about a part."""
State = Literal["starting", "online", "degraded", "paused", "stopping", "offline"]


class Payload(ContractModel):
    """What every message of the contract has in common."""

    contract: Literal[1] = Field(default=CONTRACT_VERSION, description="version of the contract")

    def to_json(self) -> bytes:
        """Return the payload.

        Raises:
            ValueError: A number is not finite. Validation refuses such numbers too, `model_construct` does not.
        """
        fields_ = self.model_dump(mode="json")
        return json.dumps(fields_, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


class Message(Payload):
    """Fields of every message that a station publishes."""

    boot_id: Name = Field(description="id of the box's present boot; it changes when the box is rebooted")
    id: Uuid7 = Field(
        default_factory=uuid7,
        description="id of this message; a repeat has the same id, so a subscriber can drop repeats",
    )
    sequence: Count = Field(
        description="sequence number of the station's newest part; verdicts up to it that have not arrived are on "
        "their way, wait in the outbox, or are lost"
    )


class BundleReference(ContractModel):
    """The bundle that decided."""

    name: Name
    digest: Name = Field(description="sha256 of the bundle's manifest")


class FrameSize(ContractModel):
    """Size of the original frame in pixels."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)


class Region(ContractModel):
    """A defective region in pixels of the frame: a connected area of the map with a peak above the threshold."""

    bbox: tuple[int, int, int, int] = Field(description="bounding box in pixels: x, y, width, height")
    area_px: int = Field(gt=0, description="area in pixels")
    area_mm2: float | None = Field(
        default=None, gt=0, description="area in mm²; null if the station's `mm_per_px` is not configured"
    )
    peak: float = Field(description="highest value of the anomaly map inside the region")
    centroid: tuple[float, float] = Field(description="centre of the area in pixels: x, y")
    area_name: Name | None = Field(
        default=None,
        description="name of the area to look at that contains the peak; null: the bundle has no such areas",
    )
    view: Name | None = Field(
        default=None,
        description="name of the view in whose frame the region lies; null: the part is seen by one station only",
    )


class ViewResult(ContractModel):
    """The result of one view of a part that several stations see (`edge-inspect views`)."""

    name: Name = Field(description="name of the view")
    id: Uuid7 | None = Field(description="id of the view's verdict; null: the view is missing")
    sequence: Count | None = Field(description="sequence number of the view's verdict; null: the view is missing")
    ok: bool | None = Field(description="whether the view accepts the part; null: the view is missing")
    score: float | None = Field(description="score of the view; null: the view is missing")
    threshold: float | None = Field(description="threshold of the view; null: the view is missing")
    problem: Reason | None = Field(
        default=None, description="why the view is missing, or why it could not be matched; null: it was matched"
    )


REASONS_OF_VIEWS = ("view_missing", "view_unmatched")
"""Reasons that reject a part whatever its score is, because its views do not show all of it."""


class Verdict(Message):
    """The decision on one part."""

    sequence: int = Field(
        ge=1,
        description="number of the part: the station counts its parts from 1, also over reboots; "
        "a missing number is a lost message",
    )
    part_id: PartId | None = Field(
        default=None, description="id of the part that came with the trigger, such as a serial number; null: none came"
    )
    captured_at: Time = Field(description="time at which the frame was taken")
    decided_at: Time = Field(description="time of the decision")
    ok: bool = Field(description="true: accept; false: reject")
    shadow: bool = Field(
        default=False,
        description="true: the station is in shadow and rejects nothing; `ok` is true even if `score` > `threshold`",
    )
    score: float = Field(description="how unusual the part is")
    threshold: float = Field(description="a part with a score above this is rejected")
    bundle: BundleReference
    recipe: Name | None = Field(
        default=None, description="name of the recipe whose bundle decided; null: the station has no recipes"
    )
    precision: Precision
    engine: Name = Field(description="engine that ran the network: openvino or tensorrt")
    latency_ms: float = Field(ge=0, description="time from the frame to the verdict, in milliseconds")
    frame: FrameSize
    area_name: Name | None = Field(
        default=None,
        description="name of the area to look at in which the part is most unusual; null: the score is not above the "
        "threshold, or the bundle has no such areas",
    )

    reason: Literal["defect", "not_found", "view_missing", "view_unmatched"] | None = Field(
        default=None,
        description="why the part is rejected, or would be if the station were not in shadow: defect; not_found: "
        "the part was not found in the frame, which was not judged; view_missing: a view of the part did not come in "
        "time; view_unmatched: it is uncertain which views belong to the part. `views` says which view; null: the part "
        "is good",
    )
    not_found: NotFound | None = Field(
        default=None,
        description="how the part was not found: absent; unclear: too little of it is recognised; glare; outside: "
        "partly outside the frame, or shifted too far; turned too far; upside_down; several parts. The score is 0 then",
    )
    views: tuple[ViewResult, ...] | None = Field(
        default=None,
        description="results of the views of which this is the joint verdict, in the order of the configuration; "
        "score, threshold, bundle, engine, precision and frame are those of the view that decided; null: the part is "
        "seen by one station only",
    )

    @property
    def is_rejected(self) -> bool:
        """Whether the part is rejected, or would be if the station were not in shadow."""
        return self.not_found is not None or self.score > self.threshold or self.reason in REASONS_OF_VIEWS


LARGEST_REGIONS = 32
"""Largest number of regions in a defect message, because brokers limit the size of a message."""


class Defect(Verdict):
    """A rejected part: its verdict, with the same id and sequence, and the regions."""

    ok: Literal[False] = Field(default=False, description="always false")
    regions: tuple[Region, ...] = Field(
        max_length=LARGEST_REGIONS,
        description=f"regions by falling peak; if the part has more than {LARGEST_REGIONS}: the one with the highest "
        f"peak and the {LARGEST_REGIONS - 1} largest others",
    )
    region_count: Count = Field(
        description=f"number of all regions of the part; `regions` has at most {LARGEST_REGIONS} of them"
    )
    thumbnail: str | None = Field(
        default=None, pattern=BASE64_PATTERN, description="small picture of the part: JPEG in base64"
    )

    @classmethod
    def of(cls, verdict: Verdict, regions: tuple[Region, ...], thumbnail: str | None = None) -> Defect:
        """Return the defect that belongs to a rejecting verdict.

        Args:
            verdict: The verdict.
            regions: All of the part's regions, by falling peak. If there are more than fit, the largest are kept.
            thumbnail: Small picture of the part: JPEG in base64.

        Raises:
            ValueError: The verdict accepts the part.
        """
        return cls(**dict(verdict), regions=_largest(regions), region_count=len(regions), thumbnail=thumbnail)


def _largest(regions: tuple[Region, ...]) -> tuple[Region, ...]:
    """Return the regions that fit into a message, in their order: the first, and the largest of the others."""
    others = sorted(range(1, len(regions)), key=lambda at: -regions[at].area_px)
    kept = {0, *others[: LARGEST_REGIONS - 1]}
    return tuple(region for at, region in enumerate(regions) if at in kept)


class Status(Message):
    """State of the station."""

    state: State
    at: Time = Field(
        description="time at which this state, or the recipe in force, began; if the last will published `offline`: "
        "time at which the station had connected"
    )
    reason: Reason | None = Field(default=None, description="why the station is in this state; null: nothing to report")
    recipe: Name | None = Field(
        default=None,
        description="name of the recipe in force; null: the station has no recipes, or has not started yet",
    )
    version: Name = Field(description="version of edge-inspect on the box")


class LabelMessage(Payload):
    """The word of a person about one part. The newest message about a part counts."""

    id: Uuid7 = Field(
        default_factory=uuid7,
        description="id of this message; a repeat has the same id, so a subscriber can drop repeats",
    )
    at: Time = Field(description="time at which the person said so")
    by: Name = Field(description="name of the person")
    word: Word | None = Field(
        description="what the person says the part is; null: the person withdraws what was said about it before"
    )
    defect_class: Name | None = Field(
        default=None, description="kind of the defect; null: the word is not `defect`, or no kind was given"
    )
    site: Name = Field(description="name of the plant")
    line: Name = Field(description="name of the line")
    station: Name = Field(description="name of the station that inspected the part")
    verdict: Verdict = Field(description="the station's verdict on the part, unchanged")
    picture_sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="sha256 of the picture file that the person has seen"
    )
