from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edge_inspect.edge.contract.messages import Region, Verdict
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.frame.fit import Placement
from edge_inspect.edge.frame.images import Frame

PICTURES = ("good", "defects")
FOLDERS = (*PICTURES, "maps", "verdicts")
SUFFIXES = {"png": ".png", "jpeg": ".jpg"}
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92)


class MapPart(BaseModel):
    """What the 16 bits of a map mean, and where it lies in the frame (see `edge.fit.Placement`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    high: float
    scale_x: float
    scale_y: float
    origin_x: float
    origin_y: float
    valid: tuple[int, int, int, int]


class Case(BaseModel):
    """`verdicts/<id>.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    station: str
    borderline: bool
    verdict: Verdict
    regions: tuple[Region, ...]
    map: MapPart
    sample: bool = Field(default=False, description="taken in shadow whatever its score: all of these are fair")


class Seen(NamedTuple):
    """A part to be saved.

    Attributes:
        station: Which inspected it.
        verdict: On it.
        regions: Of a rejected one.
        borderline: Whether its score is near the threshold.
        frame: The picture.
        anomaly: The map, with values of its own.
        sample: Whether it was taken whatever its score.
    """

    station: str
    verdict: Verdict
    regions: tuple[Region, ...]
    borderline: bool
    frame: Frame
    anomaly: AnomalyMap
    sample: bool = False


def pack(seen: Seen, format: Literal["png", "jpeg"]) -> dict[str, bytes]:
    """Return the files of a part, by their place in the station's folder; the case comes last."""
    identity, values = seen.verdict.id, seen.anomaly.values
    low, high = float(values.min()), float(values.max())
    levels = np.round((values - low) * (65535 / max(high - low, 1e-12))).astype(np.uint16)
    placement = seen.anomaly.placement
    case = Case(
        station=seen.station,
        borderline=seen.borderline,
        verdict=seen.verdict,
        regions=seen.regions,
        map=MapPart(low=low, high=high, **vars(placement)),
        sample=seen.sample,
    )
    # OpenCV's own way with PNG is twice as fast as any that can be asked for.
    _, picture = cv2.imencode(SUFFIXES[format], seen.frame, [] if format == "png" else _JPEG)
    _, map_ = cv2.imencode(".png", levels)
    folder = "defects" if seen.verdict.is_above else "good"
    return {
        f"{folder}/{identity}{SUFFIXES[format]}": picture.tobytes(),
        f"maps/{identity}.png": map_.tobytes(),
        f"verdicts/{identity}.json": case.model_dump_json(indent=1).encode() + b"\n",
    }


def find_picture(folder: Path, identity: str) -> Path | None:
    """Return the picture of a part in a station's folder, wherever its reviewer moved it; `None` if it is gone."""
    places = (folder / name / f"{identity}{suffix}" for name in PICTURES for suffix in SUFFIXES.values())
    return next((place for place in places if place.is_file()), None)


def read_map(folder: Path, case: Case) -> AnomalyMap | None:
    """Return the map of a part in a station's folder; `None` if it is gone or damaged."""
    path = folder / "maps" / f"{case.verdict.id}.png"
    levels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if levels is None or levels.dtype != np.uint16:
        return None
    part = case.map
    values: NDArray[np.float32] = (part.low + levels * ((part.high - part.low) / 65535)).astype(np.float32)
    placement = Placement(part.scale_x, part.scale_y, part.origin_x, part.origin_y, part.valid)
    return AnomalyMap(values, placement, case.verdict.score)
