"""The messages of the MQTT contract, version 1.

    Verdict    every inspected part
    Defect     a rejected part: its verdict and the regions that caused it
    Status     what the station is doing; retained, and the last will

`Health` is in edge/contract/health.py, commands and replies are in edge/contract/commands.py; edge/contract/schema.py
writes all of it to docs/mqtt/. Payloads are JSON in UTF-8, times RFC 3339 in UTC with microseconds, ids UUIDv7. A field
is never renamed or retyped within version 1. Every field of a message is always present; one without a value is null.
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
    PartId,
    Precision,
    Reason,
    Time,
    Uuid7,
)
from edge_inspect.edge.contract.ids import uuid7

State = Literal["starting", "online", "degraded", "paused", "stopping", "offline"]


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
    thumbnail: str | None = Field(default=None, pattern=BASE64_PATTERN, description="JPEG, base64")

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
