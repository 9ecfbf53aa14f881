from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edge_inspect.edge.contract.messages import Region, Verdict
from edge_inspect.edge.engines import AnomalyMap
from edge_inspect.edge.frame.images import Frame
from edge_inspect.edge.frame.placement import Placement

PICTURES = ("good", "defects")
FOLDERS = (*PICTURES, "maps", "verdicts")
SUFFIXES = {"png": ".png", "jpeg": ".jpg"}
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92)


class SavedMap(BaseModel):
    """The meaning of a saved map's 16 bits, and where it lies in the frame (see `edge.fit.Placement`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    high: float
    scale_x: float
    scale_y: float
    origin_x: float
    origin_y: float
    valid: tuple[int, int, int, int]


class SavedPart(BaseModel):
    """The content of `verdicts/<id>.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    station: str
    borderline: bool
    verdict: Verdict
    regions: tuple[Region, ...]
    map: SavedMap
    sample: bool = Field(default=False, description="taken in shadow whatever its score: all of these are fair")


class PartToSave(NamedTuple):
    """A part to be saved.

    Attributes:
        station: Name of the station that inspected the part.
        verdict: The verdict on the part.
        regions: Where a rejected part is defective.
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


def pack(part: PartToSave, format: Literal["png", "jpeg"]) -> dict[str, bytes]:
    """Return the files of a part, by their place in the station's folder; the JSON file comes last."""
    identity, values = part.verdict.id, part.anomaly.values
    low, high = float(values.min()), float(values.max())
    levels = np.round((values - low) * (65535 / max(high - low, 1e-12))).astype(np.uint16)
    placement = part.anomaly.placement
    saved = SavedPart(
        station=part.station,
        borderline=part.borderline,
        verdict=part.verdict,
        regions=part.regions,
        map=SavedMap(low=low, high=high, **vars(placement)),
        sample=part.sample,
    )
    # OpenCV's own way with PNG is twice as fast as any that can be asked for.
    _, picture = cv2.imencode(SUFFIXES[format], part.frame, [] if format == "png" else _JPEG)
    _, map_ = cv2.imencode(".png", levels)
    folder = "defects" if part.verdict.is_above else "good"
    return {
        f"{folder}/{identity}{SUFFIXES[format]}": picture.tobytes(),
        f"maps/{identity}.png": map_.tobytes(),
        f"verdicts/{identity}.json": saved.model_dump_json(indent=1).encode() + b"\n",
    }


def find_picture(folder: Path, identity: str) -> Path | None:
    """Return the picture of a part in a station's folder, wherever its reviewer moved it; `None` if it is gone."""
    places = (folder / name / f"{identity}{suffix}" for name in PICTURES for suffix in SUFFIXES.values())
    return next((place for place in places if place.is_file()), None)


def read_map(folder: Path, saved: SavedPart) -> AnomalyMap | None:
    """Return the map of a part in a station's folder; `None` if it is gone or damaged."""
    path = folder / "maps" / f"{saved.verdict.id}.png"
    levels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if levels is None or levels.dtype != np.uint16:
        return None
    map_ = saved.map
    values: NDArray[np.float32] = (map_.low + levels * ((map_.high - map_.low) / 65535)).astype(np.float32)
    placement = Placement(map_.scale_x, map_.scale_y, map_.origin_x, map_.origin_y, map_.valid)
    return AnomalyMap(values, placement, saved.verdict.score)
